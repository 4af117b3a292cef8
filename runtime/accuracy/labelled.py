"""Labelled images, and where a network takes them in and gives its answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nengo
import numpy as np

from ...compiler.errors import InputError, ModelError
from ..arrays import read_arrays

IMAGES, LABELS = "images", "labels"
"""Names of the arrays in a file of data."""


@dataclass(frozen=True)
class Labelled:
    """A set of images with their classes.

    Attributes
    ----------
    images : (n, size) float64 ndarray
    labels : (n,) int64 ndarray
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> int:
        """One more than the largest label."""
        return int(self.labels.max()) + 1

    def first(self, count: int) -> Labelled:
        """The first `count` of them."""
        return Labelled(self.images[:count], self.labels[:count])


def load_labelled(path: str | Path, needs_labels: bool = True) -> Labelled:
    """Read images and labels.

    Parameters
    ----------
    path : str or Path
        An ``.npz`` file with ``images``, (n, size) or (n, height, width[, channels]), and
        ``labels``, (n,) integers from 0.
    needs_labels : bool
        Whether it is an error that there are none; otherwise all are 0 then.

    Raises
    ------
    InputError
        If there is no such file, or what it holds has another shape or is no number.
    """
    arrays = read_arrays(path)
    if not needs_labels and IMAGES in arrays:
        arrays.setdefault(LABELS, np.zeros(len(np.atleast_1d(arrays[IMAGES])), np.int64))
    missing = [name for name in (IMAGES, LABELS) if name not in arrays]
    if missing:
        held = ", ".join(sorted(arrays)) or "nothing"
        raise InputError(
            f"{path}: has no array {missing[0]!r} (it holds {held}); give images (n, size) and "
            "labels (n,)"
        )
    images, labels = arrays[IMAGES], arrays[LABELS]
    if images.dtype.kind not in "buif" or images.ndim < 2 or not images.size:
        raise InputError(
            f"{path}: images are {images.dtype} of shape {images.shape}; they must be numbers of "
            "shape (n, size), with at least one image"
        )
    if labels.dtype.kind not in "ui" or labels.shape != (len(images),) or labels.min() < 0:
        raise InputError(
            f"{path}: labels are {labels.dtype} of shape {labels.shape}; they must be integers "
            f"from 0 on, one for each of the {len(images)} images"
        )
    flat = images.reshape(len(images), -1).astype(float)
    if not np.isfinite(flat).all():
        image = int(np.argwhere(~np.isfinite(flat))[0][0])
        raise InputError(f"{path}: image {image} holds a value that is not finite")
    return Labelled(flat, labels.astype(np.int64))


def input_node(network: nengo.Network, name: str | None = None) -> nengo.Node:
    """The node that images are put into: the one of that name, or the only one.

    Nodes with a constant other than zero (biases of trained layers) count only where all are such.

    Raises
    ------
    ModelError
        If there is none, or several to choose from.
    """
    nodes = [node for node in network.all_nodes if node.size_in == 0 and node.size_out > 0]
    if name is None:
        nodes = [n for n in nodes if not _is_bias(n.output)] or nodes
    constant = [node for node in nodes if isinstance(node.output, np.ndarray)]
    for some in (
        [node for node in nodes if node not in constant],
        [node for node in constant if not node.output.any()],
    ):
        if name is None and len(nodes) > 1 and len(some) == 1:
            return some[0]
    return _only(nodes, name, "input node", "--input")


def _is_bias(output: Any) -> bool:
    return isinstance(output, np.ndarray) and bool(np.any(output))


def output_probe(network: nengo.Network, name: str | None = None) -> nengo.Probe:
    """The probe that holds the classes: the one of that name, or the only one.

    Raises
    ------
    ModelError
        If there is none, or several to choose from.
    """
    return _only(list(network.all_probes), name, "probe", "--output")


def _only(found: list[Any], name: str | None, kind: str, option: str) -> Any:
    names = [_label(obj) for obj in found]
    known = ", ".join(names) or "none"
    if name is not None:
        found = [obj for obj, own in zip(found, names, strict=True) if own == name]
        if len(found) != 1:
            many = "several have" if found else "none has"
            raise ModelError(
                f"{option} {name}: of the {kind}s, {many} that name; there are: {known}"
            )
    if not found:
        raise ModelError(f"the network has no {kind}; add one")
    if len(found) > 1:
        raise ModelError(f"the network has several {kind}s ({known}); choose one with {option}")
    return found[0]


def _label(obj: Any) -> str:
    return str(obj.label or getattr(getattr(obj, "target", None), "label", None) or obj)


def present(node: nengo.Node, images: np.ndarray, seconds: float) -> None:
    """Let a node show images one after the other.

    Parameters
    ----------
    node : nengo.Node
    images : (n, size) float64 ndarray
    seconds : float
        For how long each is shown.

    Raises
    ------
    InputError
        If the images have another size than the node.
    """
    if images.shape[1] != node.size_out:
        raise InputError(
            f"images have {images.shape[1]} elements, the input {node.label or node} takes "
            f"{node.size_out}"
        )
    node.output = nengo.processes.PresentInput(images, seconds)
