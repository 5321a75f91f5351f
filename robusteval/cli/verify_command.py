"""`robusteval verify`, and `robusteval sign` for what it wrote."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from robusteval.cli import say, say_json
from robusteval.errors import RobustEvalError

PASSWORD = "ROBUSTEVAL_KEY_PASSWORD"  # noqa: S105 - the name of the variable that may hold it


@click.command("verify")
@click.argument("run", type=click.Path())
@click.option(
    "--model",
    "models",
    multiple=True,
    type=click.Path(),
    help="The evaluated model, where it is no longer at the path in the record; of several models, each by its name.",
)
@click.option(
    "--statement",
    type=click.Path(),
    help="Write what was found to this file, failures too, as an in-toto statement that can be signed.",
)
@click.option("--overwrite", is_flag=True, help="Replace --statement where it exists.")
@click.option(
    "--signature",
    type=click.Path(),
    help="Check this signed statement of the run, as `robusteval sign` wrote it, and not the run again.",
)
@click.option(
    "--public-key",
    type=click.Path(),
    help="The signer's public key, in a PEM file outside of the run.  [default: $ROBUSTEVAL_PUBLIC_KEY]",
)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def command(
    run: str,
    models: tuple[str, ...],
    statement: str | None,
    overwrite: bool,
    signature: str | None,
    public_key: str | None,
    as_json: bool,
) -> None:
    """Check RUN again, with numpy and ONNX Runtime alone: the clean answers and every stored adversarial are asked
    again, and figures, checks, grade and verdict are derived again.

    Of several models: each one's, and every answer in the transfer matrix.

    Exits with 1 when something does not re-check.
    """
    from robusteval.verify import command as verify

    wanted = verify.Wanted(statement, overwrite, signature, public_key)
    result = verify.verified(Path(run), models, wanted)
    if as_json:
        say_json(result.to_json())
    else:
        for line in verify.lines(result):
            say(line)
    if not result.held:
        sys.exit(1)


@click.command("sign")
@click.argument("statement", type=click.Path(), required=False)
@click.option("--key", type=click.Path(), help="Your private key, in a PEM file: Ed25519 or ECDSA.")
@click.option("--out", type=click.Path(), help="Where to write.  [default: STATEMENT.dsse]")
@click.option("--overwrite", is_flag=True, help="Replace --out where it exists.")
@click.option(
    "--new-key",
    type=click.Path(),
    help="Instead make a pair of keys: the private one in this file, the public one in the same with .pub.",
)
def sign_command(statement: str | None, key: str | None, out: str | None, overwrite: bool, new_key: str | None) -> None:
    """Sign STATEMENT, which `robusteval verify RUN --statement STATEMENT` wrote, with a key of your own; no service is
    asked.

    Whoever has the run and your public key checks it with `robusteval verify RUN --signature STATEMENT.dsse
    --public-key KEY.pub`.
    """
    if new_key is not None:
        if statement or key or out:
            raise click.UsageError("--new-key stands alone.")
        _make(Path(new_key))
        return
    if statement is None or key is None:
        raise click.UsageError("Give a statement, and --key.")
    from robusteval.verify.statements import envelope, keys, write
    from robusteval.verify.statements.statement import read

    path = Path(statement)
    target = Path(out) if out else path.with_name(f"{path.name}.dsse")
    write.check_free(target, overwrite, "signed statement")
    if target.resolve() in (path.resolve(), Path(key).resolve()):
        raise RobustEvalError("The signed statement is a file of its own.", "Give another name with --out.")
    content, said = read(path)
    contradiction = said.contradiction
    if contradiction:
        raise RobustEvalError(f"This statement contradicts itself: {contradiction}.", "Verify the run again.")
    signer = keys.private_key(Path(key), _password)
    write.put(target, envelope.sign(content, signer))
    counts = said.predicate.claims
    if said.predicate.result == "confirmed":
        say(f"What you signed: {counts.confirmed} claims confirmed, {counts.unchecked} not checked.")
    else:
        say(f"What you signed: the verification FAILED, {counts.failed} claims do not hold.")
    say(f"Signed with the key {signer.public_key.keyid[:16]}: {target}")


def _make(path: Path) -> None:
    from robusteval.verify.statements import keys

    keyid = keys.new_key(path)
    say(f"Private key: {path} (not encrypted; keep it to yourself)")
    say(f"Public key: {path}{keys.PUBLIC} (for whoever is to check your signatures)")
    say(f"Its id: {keyid[:16]}")


def _password() -> str | None:
    """The password of an encrypted key: from the environment, or typed where there is a terminal."""
    if PASSWORD in os.environ:
        return os.environ[PASSWORD]
    if not sys.stdin.isatty():
        return None
    typed: str = click.prompt("Password of the key", hide_input=True, err=True)
    return typed
