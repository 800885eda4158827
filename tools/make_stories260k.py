#!/usr/bin/env python3
"""Writes golden/stories260K.gguf from a llama2.c checkpoint and its tokenizer.

    tools/make_stories260k.py DIRECTORY golden/stories260K.gguf

DIRECTORY holds stories260K.bin and tok512.bin (github.com/karpathy/llama2.c, doc/stories260K.md). Only struct
packing, so that the file does not depend on any package; the layout is GGUF version 3, little endian.

Checkpoint (version 0): seven int32 (dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len), then
float32: token embedding; for all layers at a time rms_att, wq, wk, wv, wo, rms_ffn, w1, w2, w3; rms_final; two
RoPE tables that nobody reads. Matrices are rows = outputs. Rotary pairs are adjacent, as in GGUF's llama, so rows
of q and k stay where they are. A positive vocab_size means that the embedding is also the output matrix.

Tokenizer: int32 longest token, then per token float32 score, int32 length, bytes. Ids 0, 1, 2 are <unk>, <s> and
</s>; 3 to 258 the bytes 0 to 255, which SentencePiece writes as <0xXX>; the rest are pieces, where llama2.c has
a space for SentencePiece's U+2581.
"""
import struct
import sys

U32, F32, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5
ALIGNMENT = 32


def text(s):
    data = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<Q", len(data)) + data


def scalar(kind, value):
    if kind == STRING:
        return text(value)
    return struct.pack({U32: "<I", F32: "<f", BOOL: "<?", I32: "<i"}[kind], value)


def entry(key, kind, value):
    return text(key) + struct.pack("<I", kind) + scalar(kind, value)


def array(key, kind, values):
    head = text(key) + struct.pack("<IIQ", ARRAY, kind, len(values))
    return head + b"".join(scalar(kind, v) for v in values)


def read_model(path):
    data = open(path, "rb").read()
    dim, hidden, layers, heads, kv_heads, vocabulary, context = struct.unpack_from("<7i", data)
    at = 28

    def take(count):
        nonlocal at
        part = data[at : at + 4 * count]
        at += 4 * count
        assert len(part) == 4 * count
        return part

    def stacked(*shape):
        count = 1
        for n in shape:
            count *= n
        return [(shape, take(count)) for _ in range(layers)]

    kv = dim // heads * kv_heads
    embedding = ((vocabulary, dim), take(vocabulary * dim))
    parts = {"attn_norm": stacked(dim), "attn_q": stacked(dim, dim), "attn_k": stacked(kv, dim),
             "attn_v": stacked(kv, dim), "attn_output": stacked(dim, dim), "ffn_norm": stacked(dim),
             "ffn_gate": stacked(hidden, dim), "ffn_down": stacked(dim, hidden), "ffn_up": stacked(hidden, dim)}
    tensors = [("token_embd.weight", *embedding)]
    order = ["attn_norm", "ffn_down", "ffn_gate", "ffn_up", "ffn_norm", "attn_k", "attn_output", "attn_q", "attn_v"]
    for layer in range(layers):
        tensors += [(f"blk.{layer}.{name}.weight", *parts[name][layer]) for name in order]
    tensors.append(("output_norm.weight", (dim,), take(dim)))
    assert len(data) - at == 2 * 4 * context * (dim // heads // 2), "the RoPE tables should be what is left"
    sizes = {"dim": dim, "hidden": hidden, "layers": layers, "heads": heads, "kv_heads": kv_heads,
             "vocabulary": vocabulary, "context": context}
    return sizes, tensors


def read_tokenizer(path, vocabulary):
    data = open(path, "rb").read()
    at = 4
    tokens, scores, kinds = [], [], []
    for i in range(vocabulary):
        score, length = struct.unpack_from("<fi", data, at)
        piece = data[at + 8 : at + 8 + length]
        at += 8 + length
        if i < 3:
            tokens.append([b"<unk>", b"<s>", b"</s>"][i])
            kinds.append([2, 3, 3][i])  # unknown, control, control
        elif i < 259:
            tokens.append(b"<0x%02X>" % (i - 3))
            kinds.append(6)  # byte
        else:
            tokens.append(piece.replace(b" ", "\u2581".encode()))
            kinds.append(1)  # normal
        scores.append(score)
    assert at == len(data)
    return tokens, scores, kinds


def main():
    source, destination = sys.argv[1:]
    sizes, tensors = read_model(f"{source}/stories260K.bin")
    tokens, scores, kinds = read_tokenizer(f"{source}/tok512.bin", sizes["vocabulary"])
    metadata = [
        entry("general.architecture", STRING, "llama"),
        entry("general.type", STRING, "model"),
        entry("general.name", STRING, "stories260K"),
        entry("general.license", STRING, "mit"),
        entry("llama.block_count", U32, sizes["layers"]),
        entry("llama.context_length", U32, sizes["context"]),
        entry("llama.embedding_length", U32, sizes["dim"]),
        entry("llama.feed_forward_length", U32, sizes["hidden"]),
        entry("llama.attention.head_count", U32, sizes["heads"]),
        entry("llama.attention.head_count_kv", U32, sizes["kv_heads"]),
        entry("llama.rope.freq_base", F32, 10000.0),
        entry("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
        entry("general.file_type", U32, 0),
        entry("llama.vocab_size", U32, sizes["vocabulary"]),
        entry("llama.rope.dimension_count", U32, sizes["dim"] // sizes["heads"]),
        entry("tokenizer.ggml.model", STRING, "llama"),
        entry("tokenizer.ggml.pre", STRING, "default"),
        array("tokenizer.ggml.tokens", STRING, tokens),
        array("tokenizer.ggml.scores", F32, scores),
        array("tokenizer.ggml.token_type", I32, kinds),
        entry("tokenizer.ggml.bos_token_id", U32, 1),
        entry("tokenizer.ggml.eos_token_id", U32, 2),
        entry("tokenizer.ggml.unknown_token_id", U32, 0),
        entry("tokenizer.ggml.add_bos_token", BOOL, True),
        entry("tokenizer.ggml.add_eos_token", BOOL, False),
        entry("general.quantization_version", U32, 2),
    ]
    header = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(metadata)) + b"".join(metadata)
    offset = 0
    for name, shape, data in tensors:
        header += text(name) + struct.pack("<I", len(shape))
        header += b"".join(struct.pack("<Q", n) for n in reversed(shape))
        header += struct.pack("<IQ", 0, offset)  # F32
        offset += (len(data) + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
    out = header + b"\0" * (-len(header) % ALIGNMENT)
    for _, _, data in tensors:
        out += data + b"\0" * (-len(data) % ALIGNMENT)
    with open(destination, "wb") as file:
        file.write(out)


if __name__ == "__main__":
    main()
