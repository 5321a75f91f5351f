"""`make hostile`: files, folders and plugins that mean harm, each given to the installed command under limits of time
and memory. No binaries are kept: each kind of harm has a builder. See `__main__.py`.

Builders are by what is hostile: `graphs`, `patient`, `outside` (ONNX), `pickles` (PyTorch), `data`, `pictures`,
`suites`, `folders`, `resumed`, `shards`, `plugins`, `system`.
"""
