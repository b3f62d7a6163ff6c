"""Memory of llama.cpp: cells of keys and values, each shared by all sequences that pass through its token.

A *cell* holds the keys and values of one token at one position; a *sequence* is a set of cells, one for each of its
positions. In a unified memory (`kv_unified`) to copy a sequence means to enter it in the cells of another: a prompt
that 64 particles share is in memory once, and a fork moves nothing.

What is to be evaluated is a list of `Stretch`, tokens to be appended to sequences. Those that begin alike are one
path of a tree until they part, and each node of the tree is evaluated once, its cell entered in all sequences that
pass through it. llama.cpp takes the nodes of many sequences in one batch, as long as each sequence finds its own nodes
in order, which they are in the order in which they entered the tree.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import NamedTuple

import llama_cpp as c
import numpy as np
import torch
from torch import Tensor

from inference.engines.errors import SessionFull, UnsupportedModel
from inference.engines.llama_cpp_model import LlamaModel, complaint, start

MOST_SEQUENCES = c.llama_max_parallel_sequences()
"""Most sequences that llama.cpp tells apart in one memory."""
BATCH = 256
"""Most tokens of one call of llama.cpp; memory for the logits of so many is reserved."""

_CELLS, _SEQUENCES = 1024, 32  # of a fresh memory
_KINDS = {torch.float32: c.GGML_TYPE_F32, torch.float16: c.GGML_TYPE_F16}


Origin = tuple[int | None, int]
"""What a sequence begins with: so many first tokens of another one; (None, 0) for nothing."""


class Stretch(NamedTuple):
    """Tokens to be appended to a sequence."""

    sequence: int
    origin: Origin
    """What it holds already. Equal origins mean equal tokens."""
    tokens: tuple[int, ...]
    prompt: int
    """Length of the prompt, for the accounts."""
    keep: int = 1
    """After how many of the tokens, counted from the last, logits are wanted; at least 1."""


class _Tree:
    """The tokens of stretches, each node once; a node follows its parent in all lists."""

    def __init__(self, stretches: Sequence[Stretch]) -> None:
        self.tokens: list[int] = []
        self.positions: list[int] = []
        self.members: list[list[int]] = []
        """The sequences that pass through each node."""
        self.of_prompts = 0
        """Number of nodes that belong to prompts."""
        children: dict[tuple[object, int], int] = {}
        paths: list[list[int]] = []
        for stretch in stretches:
            node: object = stretch.origin
            path: list[int] = []
            for position, token in enumerate(stretch.tokens, stretch.origin[1]):
                child = children.setdefault((node, token), len(self.tokens))
                if child == len(self.tokens):
                    self.tokens.append(token)
                    self.positions.append(position)
                    self.members.append([])
                    self.of_prompts += position < stretch.prompt
                self.members[child].append(stretch.sequence)
                path.append(child)
                node = child
            paths.append(path)
        self.wanted = np.zeros(len(self.tokens), dtype=np.int8)
        for stretch, path in zip(stretches, paths, strict=True):
            self.wanted[path[-stretch.keep :]] = 1
        rows = np.cumsum(self.wanted, dtype=np.int64) - 1
        self.rows = [rows[path[-s.keep :]].tolist() for s, path in zip(stretches, paths, strict=True)]
        """For each stretch the rows of its logits among those of all wanted nodes."""


class Answer(NamedTuple):
    """Logits after the tokens of stretches."""

    logits: Tensor
    """(R, V) logits in float32."""
    rows: list[list[int]]
    """For each stretch the rows of what it wanted, in order."""
    calls: int
    prompt_tokens: int
    tokens: int
    """What has been evaluated of prompts, and after them."""


class Cells:
    """The memory of one llama.cpp context; it grows when it is full.

    Parameters
    ----------
    model:
        The model that computes.
    """

    def __init__(self, model: LlamaModel) -> None:
        self._model = model
        self._cells, self._sequences = _CELLS, _SEQUENCES
        self._context = self._open(self._cells, self._sequences)
        self._memory = c.llama_get_memory(self._context)

    def reserve(self, sequences: int) -> None:
        """Make room for sequences 0, ..., `sequences` - 1, at most `MOST_SEQUENCES`."""
        if sequences > self._sequences:
            self._grow(self._cells, min(2 * max(sequences, self._sequences), MOST_SEQUENCES))

    def copy(self, source: int, target: int, length: int) -> None:
        """Let `target`, which is empty, share the first `length` tokens of `source`."""
        c.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def remove(self, sequence: int, first: int = 0) -> None:
        """Let a sequence leave its cells from position `first` on; cells without sequences are free again."""
        c.llama_memory_seq_rm(self._memory, sequence, first, -1)

    def clear(self) -> None:
        """Let all sequences leave."""
        c.llama_memory_clear(self._memory, False)

    def whole(self, sequence: int) -> bool:
        """Return whether all tokens of a sequence are there; a layer with a window forgets those behind it."""
        return bool(c.llama_memory_seq_pos_min(self._memory, sequence) == 0)

    def evaluate(self, stretches: Sequence[Stretch]) -> Answer:
        """Append tokens to sequences, no two stretches to one sequence, and return the logits that they want.

        Raises
        ------
        SessionFull
            If there is no memory for them.
        """
        tree = _Tree(stretches)
        logits = np.empty((int(tree.wanted.sum()), self._model.size), dtype=np.float32)
        done = calls = 0
        for first in range(0, len(tree.tokens), BATCH):
            part = slice(first, first + BATCH)
            self._decode(tree, part)
            calls += 1
            if new := int(tree.wanted[part].sum()):
                pointer = c.llama_get_logits(self._context)
                logits[done : done + new] = np.ctypeslib.as_array(pointer, (new, self._model.size))
                done += new
        others = len(tree.tokens) - tree.of_prompts
        return Answer(torch.from_numpy(logits), tree.rows, calls, tree.of_prompts, others)

    def close(self) -> None:
        """Give the memory back."""
        if self._context is not None:
            c.llama_free(self._context)
            self._context = None

    def __del__(self) -> None:
        if getattr(self, "_context", None) is not None:
            self.close()

    def _decode(self, tree: _Tree, part: slice) -> None:
        """Evaluate some nodes, whose parents have been or are among them."""
        members = tree.members[part]
        tokens = np.array(tree.tokens[part], dtype=np.int32)
        positions = np.array(tree.positions[part], dtype=np.int32)
        counts = np.array([len(m) for m in members], dtype=np.int32)
        flat = np.array([s for m in members for s in m], dtype=np.int32)
        starts = flat.ctypes.data + 4 * (np.cumsum(counts, dtype=np.uint64) - counts.astype(np.uint64))
        wanted = np.ascontiguousarray(tree.wanted[part])
        batch = c.llama_batch(
            n_tokens=len(tokens),
            token=tokens.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
            pos=positions.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
            n_seq_id=counts.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
            seq_id=starts.ctypes.data_as(ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
            logits=wanted.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )
        threads = torch.get_num_threads()
        c.llama_set_n_threads(self._context, threads, threads)
        while (code := c.llama_decode(self._context, batch)) == 1:  # full: nothing has been evaluated
            self._grow(2 * self._cells, self._sequences)
            c.llama_set_n_threads(self._context, threads, threads)
        if code != 0:
            raise UnsupportedModel(
                f"llama.cpp fails to evaluate {self._model.name!r} (code {code}): {complaint()}",
                hint="try another version of llama-cpp-python, or engine='transformers'",
            )

    def _open(self, cells: int, sequences: int) -> object:
        start()
        options = c.llama_context_default_params()
        options.n_ctx, options.n_seq_max = cells, sequences
        options.n_batch = options.n_ubatch = BATCH
        options.kv_unified = True
        options.swa_full = True  # else a window's cells are too few for sequences that lag behind
        options.flash_attn_type = c.LLAMA_FLASH_ATTN_TYPE_DISABLED  # on a CPU it is less exact, and no faster
        options.type_k = options.type_v = _KINDS[self._model.dtype]
        options.offload_kqv = options.op_offload = False
        context = c.llama_init_from_model(self._model.pointer, options)
        if not context:
            raise SessionFull(
                f"there is no memory for {cells} tokens of {self._model.name!r}: {complaint()}",
                hint="use fewer particles, shorter prompts or fewer max_tokens, or a smaller model",
            )
        return context

    def _grow(self, cells: int, sequences: int) -> None:
        """Move all sequences to a larger memory."""
        state = np.empty(c.llama_state_get_size(self._context), dtype=np.uint8)
        pointer = state.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        written = c.llama_state_get_data(self._context, pointer, len(state))
        larger = self._open(cells, sequences)
        read = c.llama_state_set_data(larger, pointer, written)
        c.llama_free(self._context)
        self._context, self._memory = larger, c.llama_get_memory(larger)
        self._cells, self._sequences = cells, sequences
        if read != written:
            raise SessionFull(
                f"llama.cpp cannot move the memory of {self._model.name!r}: {complaint()}",
                hint="try another version of llama-cpp-python, or engine='transformers'",
            )
