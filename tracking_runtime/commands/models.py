"""`rstrack models`: keys and signatures of models."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def models() -> None:
    """Sign models, and verify who made them."""


@models.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
def key(path: Path) -> None:
    """Create the private key PATH to sign models with, and its public key PATH.pub.pem.

    Keep the private key secret. Copy the public key to the folder of trusted keys of each machine:
    $RSTRACK_MODEL_KEYS, by default ~/.config/rstrack/model_keys.
    """
    from tracking_runtime.models import signatures

    public_path = signatures.make_key(path)
    click.echo(f"private key {path}, public key {public_path}")


@models.command()
@click.argument("names", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "--key",
    "key_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="Private Ed25519 key, a PEM file.",
)
def sign(names: tuple[str, ...], key_path: Path) -> None:
    """Sign each MODEL (name or path). The signature is written beside the manifest as NAME.sig."""
    from tracking_runtime.models import signatures
    from tracking_runtime.models.manifest import check_weights, find_model

    for name in names:
        manifest = find_model(name)
        check_weights(manifest)
        path = signatures.sign(manifest, key_path, lambda: str(click.prompt("Password", hide_input=True)))
        click.echo(f"signed {manifest} in {path}")


@models.command()
@click.argument("names", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "--keys",
    "keys_folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of trusted public keys. Default: $RSTRACK_MODEL_KEYS or ~/.config/rstrack/model_keys.",
)
def verify(names: tuple[str, ...], keys_folder: Path | None) -> None:
    """Verify checksum and signature of each MODEL (name or path). Fail if a trusted key did not sign one."""
    from tracking_runtime.errors import ModelError
    from tracking_runtime.models import signatures
    from tracking_runtime.models.manifest import check_weights, find_model

    num_failed = 0
    for name in names:
        try:
            manifest = find_model(name)
            check_weights(manifest)
            key_path = signatures.verify(manifest, manifest.read_bytes(), keys_folder)
        except ModelError as error:
            num_failed += 1
            click.echo(f"{name}: {error}", err=True)
        else:
            click.echo(f"{name}: intact, signed by {key_path}")
    if num_failed:
        raise click.ClickException(f"{num_failed} of {len(names)} models are not verified")
