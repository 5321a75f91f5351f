"""What mkdocs calls: adds the generated pages and those of the repository's other folders, and mends links.

`make site` builds the site in site/; nothing generated is kept in git.
"""

from __future__ import annotations

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs.generators import links
from docs.generators.pages import generated


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages of docs/, and the others beside them."""
    for path, text in generated().items():
        files.append(File.generated(config, path, content=text))
    for path, place in links.ELSEWHERE.items():
        files.append(File.generated(config, place, content=(links.ROOT / path).read_text(encoding="utf-8")))
    for path in sorted({link.path for page in links.sources() for link in links.links(page)}):
        there = links.on_the_site(path)
        if there is not None and files.get_file_from_path(there) is None:
            files.append(File.generated(config, there, abs_src_path=str(links.ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - as mkdocs calls it
    """A page's text, its links as they are on the site."""
    place = page.file.src_uri
    source = next((path for path, there in links.ELSEWHERE.items() if there == place), f"docs/{place}")
    return links.rewritten(markdown, source, config.repo_url or "")
