"""`rstrack models`: installed and published models, and signatures of models."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tracking_runtime.commands.options import MODELS_OPTION

_LOG_WIDTH = 130  # of tables that go into a file


@click.group()
def models() -> None:
    """List and download models; sign models, and verify who made them."""


_CATALOG_OPTION = click.option(
    "--catalog",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML list of further published models, with the keys name, description, url, sha256, size, license "
    "and importer.",
)


@models.command("list")
@_CATALOG_OPTION
def list_models(catalog: Path | None) -> None:
    """List the installed models, and those that rstrack models get downloads."""
    from rich.console import Console

    from tracking_runtime.commands.model_tables import make_installed_table, make_public_table
    from tracking_runtime.models.public_models import PUBLIC_MODELS, read_catalog

    console = Console(width=None if sys.stdout.isatty() else _LOG_WIDTH)
    console.print(make_installed_table())
    console.print(make_public_table((*PUBLIC_MODELS, *(read_catalog(catalog) if catalog else ()))))


@models.command()
@click.argument("name")
@MODELS_OPTION
@click.option("--url", help="Address of a mirror. The checksum must be the same.")
@_CATALOG_OPTION
def get(name: str, models: Path, url: str | None, catalog: Path | None) -> None:
    """Download the published model NAME from its authors, check its checksum, and import it.

    The license of the model is that of its authors; rstrack models list shows it.
    """
    from tempfile import TemporaryDirectory

    from tracking_runtime.commands.progress import make_progress
    from tracking_runtime.models.manifest import check_name_is_free
    from tracking_runtime.models.public_models import (
        PUBLIC_MODELS,
        download_checkpoint,
        read_catalog,
        select_public_model,
    )
    from tracking_runtime.plugins import IMPORT, load_plugin

    model = select_public_model(name, (*(read_catalog(catalog) if catalog else ()), *PUBLIC_MODELS))
    check_name_is_free(models, name)
    try:
        importer = load_plugin(IMPORT, model.importer)
    except LookupError as error:
        raise click.ClickException(str(error)) from error
    with TemporaryDirectory() as temporary_folder:
        checkpoint = Path(temporary_folder) / f"{name}.checkpoint"
        with make_progress() as progress:
            task = progress.add_task(f"downloading {name}", total=model.size)
            download_checkpoint(
                model, checkpoint, url=url, on_progress=lambda done: progress.update(task, completed=done)
            )
        click.get_current_context().invoke(importer, checkpoint=checkpoint, name=name, models=models)
    click.echo(f"license of {name}: {model.license}")


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
