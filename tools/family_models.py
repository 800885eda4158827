"""Small random models of the families carat runs, each as a GGUF file and as a Hugging Face directory, written
independently of carat: the numbers are drawn once, under Hugging Face's names, and rearranged here for GGUF as
llama.cpp's converter does (conversion/*.py there). For tools/oracle_engine.py.
"""
import json, math, os

import gguf
import numpy as np
from safetensors.numpy import save_file

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
GOLDEN = os.path.join(ROOT, "golden", "stories260K.gguf")


def golden_tokenizer():
    """The keys of golden/stories260K.gguf that make its tokenizer: (name, type, element type, value)."""
    fields = gguf.GGUFReader(GOLDEN).fields.values()
    return [(f.name, f.types[0], f.types[-1], f.contents()) for f in fields if f.name.startswith("tokenizer.")]


class Model:
    """Sizes, random numbers, and what both containers will hold."""

    def __init__(self, arch, seed, heads=3, kv_heads=1, head_dim=32, layers=4, width=96, feed_forward=160, context=512):
        self.arch, self.random = arch, np.random.default_rng(seed)
        self.heads, self.kv_heads, self.head_dim, self.layers = heads, kv_heads, head_dim, layers
        self.width, self.feed_forward, self.context = width, feed_forward, context
        self.tokenizer = golden_tokenizer()
        self.words = next(len(value) for name, _, _, value in self.tokenizer if name == "tokenizer.ggml.tokens")
        self.keys, self.config = {}, {}  # of GGUF (without "arch."), of config.json
        self.gguf, self.hf = {}, {}

    def draw(self, shape, spread, mean=0.0):
        return (mean + spread * self.random.standard_normal(shape)).astype(np.float32)

    def matrix(self, rows, columns, gain=1.0):
        return self.draw((rows, columns), gain / math.sqrt(columns))

    def gain(self, size=None):
        return self.draw((size or self.width,), 0.2, 1.0)

    def bias(self, size):
        return self.draw((size,), 0.3)

    def add(self, gguf_name, hf_name, value, to_gguf=lambda x: x):
        self.hf[hf_name] = value
        self.gguf[gguf_name] = np.ascontiguousarray(to_gguf(value)).astype(np.float32)

    def common(self, hf_class, model_type, epsilon="rms", base=10000.0):
        """What most families' metadata say alike."""
        self.config |= {
            "architectures": [hf_class], "model_type": model_type, "hidden_size": self.width,
            "intermediate_size": self.feed_forward, "num_hidden_layers": self.layers, "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads, "max_position_embeddings": self.context, "vocab_size": self.words,
            "rope_theta": base, "torch_dtype": "float32", "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
        self.keys |= {
            "block_count": self.layers, "context_length": self.context, "embedding_length": self.width,
            "feed_forward_length": self.feed_forward, "attention.head_count": self.heads,
            "attention.head_count_kv": self.kv_heads, "rope.freq_base": base}
        if epsilon == "rms":
            self.config["rms_norm_eps"] = 1e-5
            self.keys["attention.layer_norm_rms_epsilon"] = 1e-5
        else:
            self.config[epsilon] = 1e-5
            self.keys["attention.layer_norm_epsilon"] = 1e-5

    def own_heads(self):
        """Where a head's size does not follow from the width."""
        self.config["head_dim"] = self.head_dim
        self.keys |= {"attention.key_length": self.head_dim, "attention.value_length": self.head_dim}

    def embedding(self, spread=1.0, tied=False, gain=3.0, hf="model.embed_tokens.weight"):
        self.config["tie_word_embeddings"] = tied
        self.add("token_embd.weight", hf, self.draw((self.words, self.width), spread))
        if not tied:
            self.add("output.weight", "lm_head.weight", self.matrix(self.words, self.width, gain))

    def qkv(self, layer, order=lambda x, heads: x, bias=False):
        q, k = self.heads * self.head_dim, self.kv_heads * self.head_dim
        for part, rows, gain, heads in (("q", q, 2.0, self.heads), ("k", k, 2.0, self.kv_heads), ("v", k, 1.0, 0)):
            names = f"blk.{layer}.attn_{part}", f"model.layers.{layer}.self_attn.{part}_proj"
            arrange = (lambda x, heads=heads: order(x, heads)) if heads else (lambda x: x)
            self.add(names[0] + ".weight", names[1] + ".weight", self.matrix(rows, self.width, gain), arrange)
            if bias:
                self.add(names[0] + ".bias", names[1] + ".bias", self.bias(rows), arrange)

    def save_gguf(self, path):
        w = gguf.GGUFWriter(path, self.arch)
        for key, value in self.keys.items():
            add = {str: w.add_string, float: w.add_float32, int: w.add_uint32, bool: w.add_bool}[type(value)]
            add(f"{self.arch}.{key}", value)
        for name, kind, element, value in self.tokenizer:
            w.add_key_value(name, value, kind, element if kind == gguf.GGUFValueType.ARRAY else None)
        for name, value in self.gguf.items():
            codes = value.dtype == np.uint8
            w.add_tensor(name, value, raw_dtype=gguf.GGMLQuantizationType.MXFP4 if codes else None)
        w.write_header_to_file()
        w.write_kv_data_to_file()
        w.write_tensors_to_file()
        w.close()

    def save_hf(self, folder, tokenizer_files):
        """tokenizer_files: name -> text, of the same tokenizer in Hugging Face's form."""
        os.makedirs(folder, exist_ok=True)
        save_file({name: np.ascontiguousarray(value) for name, value in self.hf.items()},
                  os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
        for name, text in {**tokenizer_files, "config.json": json.dumps(self.config, indent=1)}.items():
            with open(os.path.join(folder, name), "w") as f:
                f.write(text)


def halves_to_pairs(x, heads):
    """The rows of q or k of a llama in GGUF."""
    shape = x.shape
    return x.reshape(heads, 2, shape[0] // heads // 2, *shape[1:]).swapaxes(1, 2).reshape(shape)


def gemma(arch, seed, tied=True, window=20, **sizes):
    """Gemma 2 and 3."""
    m = Model(arch, seed, heads=3, kv_heads=1, head_dim=48, layers=7 if arch == "gemma3" else 4, **sizes)
    three = arch == "gemma3"
    m.common("Gemma3ForCausalLM" if three else "Gemma2ForCausalLM", "gemma3_text" if three else "gemma2",
             base=1e6 if three else 10000.0)
    m.own_heads()
    m.embedding(spread=0.25, tied=tied)
    m.keys["attention.sliding_window"] = m.config["sliding_window"] = window
    m.config |= {"query_pre_attn_scalar": m.head_dim, "hidden_activation": "gelu_pytorch_tanh"}
    if three:
        m.config |= {"rope_local_base_freq": 10000.0, "sliding_window_pattern": 6,
                     "attn_logit_softcapping": None, "final_logit_softcapping": None}
    else:
        m.config |= {"attn_logit_softcapping": 3.0, "final_logit_softcapping": 6.0}
        m.keys |= {"attn_logit_softcapping": 3.0, "final_logit_softcapping": 6.0}
        del m.keys["rope.freq_base"]  # the converter leaves it out

    def gain(gguf_name, hf_name, size=None):
        m.add(gguf_name, hf_name, m.gain(size) - np.float32(1), lambda x: x + np.float32(1))

    for i in range(m.layers):
        b, h = f"blk.{i}.", f"model.layers.{i}."
        m.qkv(i)
        m.add(b + "attn_output.weight", h + "self_attn.o_proj.weight", m.matrix(m.width, m.heads * m.head_dim))
        if three:
            gain(b + "attn_q_norm.weight", h + "self_attn.q_norm.weight", m.head_dim)
            gain(b + "attn_k_norm.weight", h + "self_attn.k_norm.weight", m.head_dim)
        gain(b + "attn_norm.weight", h + "input_layernorm.weight")
        gain(b + "post_attention_norm.weight", h + "post_attention_layernorm.weight")
        gain(b + "ffn_norm.weight", h + "pre_feedforward_layernorm.weight")
        gain(b + "post_ffw_norm.weight", h + "post_feedforward_layernorm.weight")
        for part in ("gate", "up"):
            m.add(b + f"ffn_{part}.weight", h + f"mlp.{part}_proj.weight", m.matrix(m.feed_forward, m.width))
        m.add(b + "ffn_down.weight", h + "mlp.down_proj.weight", m.matrix(m.width, m.feed_forward))
    gain("output_norm.weight", "model.norm.weight")
    return m


def gated(m, i, fused=False):
    b, h = f"blk.{i}.", f"model.layers.{i}."
    if fused:
        m.add(b + "ffn_up.weight", h + "mlp.gate_up_proj.weight", m.matrix(2 * m.feed_forward, m.width))
    else:
        for part in ("gate", "up"):
            m.add(b + f"ffn_{part}.weight", h + f"mlp.{part}_proj.weight", m.matrix(m.feed_forward, m.width))
    m.add(b + "ffn_down.weight", h + "mlp.down_proj.weight", m.matrix(m.width, m.feed_forward))


def olmo2(seed):
    m = Model("olmo2", seed, heads=3, kv_heads=3)
    m.common("Olmo2ForCausalLM", "olmo2", base=500000.0)
    m.embedding()
    for i in range(m.layers):
        b, h = f"blk.{i}.", f"model.layers.{i}."
        m.qkv(i)
        for part, heads in (("q", m.heads), ("k", m.kv_heads)):
            m.add(b + f"attn_{part}_norm.weight", h + f"self_attn.{part}_norm.weight", m.gain(heads * m.head_dim))
        m.add(b + "attn_output.weight", h + "self_attn.o_proj.weight", m.matrix(m.width, m.heads * m.head_dim))
        m.add(b + "post_attention_norm.weight", h + "post_attention_layernorm.weight", m.gain())
        m.add(b + "post_ffw_norm.weight", h + "post_feedforward_layernorm.weight", m.gain())
        gated(m, i)
    m.add("output_norm.weight", "model.norm.weight", m.gain())
    return m


def granite(seed):
    m = Model("granite", seed)
    m.common("GraniteForCausalLM", "granite")
    m.keys |= {"vocab_size": m.words, "rope.dimension_count": m.head_dim}
    for hf, key, value in (("attention_multiplier", "attention.scale", 0.11),
                           ("embedding_multiplier", "embedding_scale", 3.0),
                           ("residual_multiplier", "residual_scale", 0.6), ("logits_scaling", "logit_scale", 1.5)):
        m.config[hf] = m.keys[key] = value
    m.embedding(spread=0.3)
    for i in range(m.layers):
        b, h = f"blk.{i}.", f"model.layers.{i}."
        m.add(b + "attn_norm.weight", h + "input_layernorm.weight", m.gain())
        m.qkv(i, halves_to_pairs)
        m.add(b + "attn_output.weight", h + "self_attn.o_proj.weight", m.matrix(m.width, m.heads * m.head_dim))
        m.add(b + "ffn_norm.weight", h + "post_attention_layernorm.weight", m.gain())
        gated(m, i)
    m.add("output_norm.weight", "model.norm.weight", m.gain())
    return m


def phi3(seed, original=None, rotated=1.0):
    m = Model("phi3", seed)
    m.common("Phi3ForCausalLM", "phi3")
    rotary = int(rotated * m.head_dim)
    m.config |= {"original_max_position_embeddings": original or m.context, "partial_rotary_factor": rotated,
                 "sliding_window": None}
    m.keys |= {"rope.dimension_count": rotary, "rope.scaling.original_context_length": original or m.context,
               "attention.sliding_window": 0}
    m.embedding()
    if original:
        factors = {"short": 1 + 0.5 * m.random.random(rotary // 2), "long": 1 + 9 * m.random.random(rotary // 2)}
        scale = m.context / original
        m.keys["rope.scaling.attn_factor"] = math.sqrt(1 + math.log(scale) / math.log(original)) if scale > 1 else 1.0
        m.config["rope_scaling"] = {"type": "longrope"}
        for name, values in factors.items():
            m.config["rope_scaling"][f"{name}_factor"] = values.tolist()
            m.gguf[f"rope_factors_{name}.weight"] = values.astype(np.float32)
    for i in range(m.layers):
        b, h = f"blk.{i}.", f"model.layers.{i}."
        m.add(b + "attn_norm.weight", h + "input_layernorm.weight", m.gain())
        m.add(b + "attn_qkv.weight", h + "self_attn.qkv_proj.weight",
              m.matrix((m.heads + 2 * m.kv_heads) * m.head_dim, m.width, 1.5))
        m.add(b + "attn_output.weight", h + "self_attn.o_proj.weight", m.matrix(m.width, m.heads * m.head_dim))
        m.add(b + "ffn_norm.weight", h + "post_attention_layernorm.weight", m.gain())
        gated(m, i, fused=True)
    m.add("output_norm.weight", "model.norm.weight", m.gain())
    return m


def glm4(seed, bias=False):
    m = Model("glm4", seed)
    m.common("Glm4ForCausalLM", "glm4")
    m.own_heads()
    m.keys["rope.dimension_count"] = m.head_dim // 2
    m.config |= {"partial_rotary_factor": 0.5, "attention_bias": bias}
    m.embedding()
    for i in range(m.layers):
        b, h = f"blk.{i}.", f"model.layers.{i}."
        m.add(b + "attn_norm.weight", h + "input_layernorm.weight", m.gain())
        m.qkv(i, bias=bias)
        m.add(b + "attn_output.weight", h + "self_attn.o_proj.weight", m.matrix(m.width, m.heads * m.head_dim))
        m.add(b + "post_attention_norm.weight", h + "post_self_attn_layernorm.weight", m.gain())
        m.add(b + "ffn_norm.weight", h + "post_attention_layernorm.weight", m.gain())
        gated(m, i, fused=True)
        m.add(b + "post_ffw_norm.weight", h + "post_mlp_layernorm.weight", m.gain())
    m.add("output_norm.weight", "model.norm.weight", m.gain())
    return m


def command_r(seed):
    m = Model("command-r", seed)
    m.common("CohereForCausalLM", "cohere", epsilon="layer_norm_eps", base=8e6)
    m.config |= {"logit_scale": 0.6, "use_qk_norm": False, "attention_bias": False}
    m.keys |= {"logit_scale": 0.6, "rope.scaling.type": "none"}
    m.embedding(spread=0.4, tied=True)
    for i in range(m.layers):
        b, h = f"blk.{i}.", f"model.layers.{i}."
        m.add(b + "attn_norm.weight", h + "input_layernorm.weight", m.gain())
        m.qkv(i)
        m.add(b + "attn_output.weight", h + "self_attn.o_proj.weight", m.matrix(m.width, m.heads * m.head_dim))
        gated(m, i)
    m.add("output_norm.weight", "model.norm.weight", m.gain())
    return m


def layer_norm(m, gguf_name, hf_name):
    m.add(gguf_name + ".weight", hf_name + ".weight", m.gain())
    m.add(gguf_name + ".bias", hf_name + ".bias", m.bias(m.width))


def with_bias(m, gguf_name, hf_name, rows, columns, gain=1.0, conv1d=False):
    value = m.matrix(rows, columns, gain)
    m.add(gguf_name + ".weight", hf_name + ".weight", value.T if conv1d else value, (lambda x: x.T) if conv1d else
          (lambda x: x))
    m.add(gguf_name + ".bias", hf_name + ".bias", m.bias(rows))


def starcoder2(seed, tied=False):
    m = Model("starcoder2", seed)
    m.common("Starcoder2ForCausalLM", "starcoder2", epsilon="norm_epsilon", base=100000.0)
    m.config |= {"use_bias": True, "hidden_act": "gelu_pytorch_tanh", "sliding_window": None}
    m.embedding(spread=0.4 if tied else 1.0, tied=tied)
    for i in range(m.layers):
        b, h = f"blk.{i}.", f"model.layers.{i}."
        layer_norm(m, b + "attn_norm", h + "input_layernorm")
        m.qkv(i, bias=True)
        with_bias(m, b + "attn_output", h + "self_attn.o_proj", m.width, m.heads * m.head_dim)
        layer_norm(m, b + "ffn_norm", h + "post_attention_layernorm")
        with_bias(m, b + "ffn_up", h + "mlp.c_fc", m.feed_forward, m.width)
        with_bias(m, b + "ffn_down", h + "mlp.c_proj", m.width, m.feed_forward)
    layer_norm(m, "output_norm", "model.norm")
    return m


def gpt2(seed):
    m = Model("gpt2", seed, heads=3, kv_heads=3, feed_forward=384)
    m.config = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_embd": m.width, "n_head": m.heads,
                "n_layer": m.layers, "n_positions": m.context, "n_ctx": m.context, "vocab_size": m.words,
                "layer_norm_epsilon": 1e-5, "activation_function": "gelu_new", "torch_dtype": "float32",
                "bos_token_id": 1, "eos_token_id": 2}
    m.keys = {"block_count": m.layers, "context_length": m.context, "embedding_length": m.width,
              "feed_forward_length": m.feed_forward, "attention.head_count": m.heads,
              "attention.layer_norm_epsilon": 1e-5}
    m.add("token_embd.weight", "transformer.wte.weight", m.draw((m.words, m.width), 0.4))
    m.add("position_embd.weight", "transformer.wpe.weight", m.draw((m.context, m.width), 0.3))
    for i in range(m.layers):
        b, h = f"blk.{i}.", f"transformer.h.{i}."
        layer_norm(m, b + "attn_norm", h + "ln_1")
        with_bias(m, b + "attn_qkv", h + "attn.c_attn", 3 * m.width, m.width, 1.5, conv1d=True)
        with_bias(m, b + "attn_output", h + "attn.c_proj", m.width, m.width, conv1d=True)
        layer_norm(m, b + "ffn_norm", h + "ln_2")
        with_bias(m, b + "ffn_up", h + "mlp.c_fc", m.feed_forward, m.width, conv1d=True)
        with_bias(m, b + "ffn_down", h + "mlp.c_proj", m.width, m.feed_forward, conv1d=True)
    layer_norm(m, "output_norm", "transformer.ln_f")
    return m


def falcon(seed, new=False):
    m = Model("falcon", seed, heads=6, kv_heads=2 if new else 1, head_dim=16, feed_forward=384, context=2048)
    m.config = {"architectures": ["FalconForCausalLM"], "model_type": "falcon", "hidden_size": m.width,
                "num_hidden_layers": m.layers, "num_attention_heads": m.heads, "vocab_size": m.words,
                "layer_norm_epsilon": 1e-5, "alibi": False, "bias": False, "parallel_attn": True,
                "new_decoder_architecture": new, "multi_query": not new, "torch_dtype": "float32",
                "bos_token_id": 1, "eos_token_id": 2}
    if new:
        m.config["num_kv_heads"] = m.kv_heads
    m.keys = {"block_count": m.layers, "context_length": 2048, "embedding_length": m.width,
              "feed_forward_length": m.feed_forward, "attention.head_count": m.heads,
              "attention.head_count_kv": m.kv_heads, "attention.layer_norm_epsilon": 1e-5,
              "tensor_data_layout": "jploski"}
    m.embedding(spread=0.4, tied=True, hf="transformer.word_embeddings.weight")

    def by_part(x):
        """Hugging Face: of each key-value head its queries, its key, its value."""
        groups = x.reshape(m.kv_heads, m.heads // m.kv_heads + 2, m.head_dim, m.width)
        parts = groups[:, :-2], groups[:, -2:-1], groups[:, -1:]
        return np.concatenate([p.reshape(-1, m.width) for p in parts])

    for i in range(m.layers):
        b, h = f"blk.{i}.", f"transformer.h.{i}."
        if new:
            layer_norm(m, b + "attn_norm", h + "ln_mlp")
            layer_norm(m, b + "attn_norm_2", h + "ln_attn")
        else:
            layer_norm(m, b + "attn_norm", h + "input_layernorm")
        m.add(b + "attn_qkv.weight", h + "self_attention.query_key_value.weight",
              m.matrix((m.heads + 2 * m.kv_heads) * m.head_dim, m.width, 1.5), by_part)
        m.add(b + "attn_output.weight", h + "self_attention.dense.weight", m.matrix(m.width, m.width))
        m.add(b + "ffn_up.weight", h + "mlp.dense_h_to_4h.weight", m.matrix(m.feed_forward, m.width))
        m.add(b + "ffn_down.weight", h + "mlp.dense_4h_to_h.weight", m.matrix(m.width, m.feed_forward))
    layer_norm(m, "output_norm", "transformer.ln_f")
    return m


FAMILIES = {
    "gemma2": lambda seed: gemma("gemma2", seed),
    "gemma3": lambda seed: gemma("gemma3", seed),
    "olmo2": olmo2,
    "granite": granite,
    "phi3": phi3,
    "phi3, long": lambda seed: phi3(seed, original=64),
    "phi3, short": lambda seed: phi3(seed, original=300),
    "phi3, part of a head": lambda seed: phi3(seed, original=64, rotated=0.75),
    "glm4": glm4,
    "glm4, biases": lambda seed: glm4(seed, bias=True),
    "command-r": command_r,
    "starcoder2": starcoder2,
    "starcoder2, tied": lambda seed: starcoder2(seed, tied=True),
    "gpt2": gpt2,
    "falcon": falcon,
    "falcon, new": lambda seed: falcon(seed, new=True),
}
