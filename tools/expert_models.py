"""Small random models of the families that are mixtures of experts and have blocks of their own, as GGUF files and as
Hugging Face directories (see family_models.py). The llama-like ones are cases of oracle_engine.py.
"""
import json, math, os

import numpy as np

from family_models import Model

E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)


def e4m3(codes):
    """The values of E4M3 floats (OCP 8-bit floating point), of which 0x7f and 0xff are none."""
    sign, exponent, mantissa = codes >> 7, (codes >> 3) & 15, (codes & 7).astype(np.float64)
    size = np.where(exponent == 0, mantissa / 8 * 2.0 ** -6, (1 + mantissa / 8) * 2.0 ** (exponent - 7.0))
    return np.where(sign == 1, -size, size).astype(np.float32)


class Mixture(Model):
    def tensor(self, name, hf, *shape, spread=None, to_gguf=lambda x: x):
        """Without a spread: a matrix whose products keep the size of what they read."""
        self.add(name, hf, self.draw(shape, spread if spread is not None else 1 / math.sqrt(shape[-1])), to_gguf)

    def norm(self, name, hf, size=None):
        self.add(name + ".weight", hf + ".weight", self.gain(size))

    def experts(self, names, hf, count, rows, columns):
        """One tensor in GGUF, as many as there are experts in directories; hf has a {} for the expert."""
        stacked = self.draw((count, rows, columns), 1 / math.sqrt(columns))
        self.gguf[names] = stacked
        self.hf |= {hf.format(i): stacked[i] for i in range(count)}

    def ends(self):
        self.embedding()
        self.norm("output_norm", "model.norm")

    def save_hf(self, folder, tokenizer_files):
        """The safetensors package has no FP8 in numpy: bytes whose name is in self.fp8 are it."""
        super().save_hf(folder, tokenizer_files)
        if not self.fp8:
            return
        header, data = {"__metadata__": {"format": "pt"}}, b""
        for name, value in self.hf.items():
            kind = "F8_E4M3" if name in self.fp8 else "U8" if value.dtype == np.uint8 else "F32"
            raw = np.ascontiguousarray(value).tobytes()
            header[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [len(data), len(data) + len(raw)]}
            data += raw
        text = json.dumps(header).encode()
        with open(os.path.join(folder, "model.safetensors"), "wb") as f:
            f.write(len(text).to_bytes(8, "little") + text + data)

    fp8 = frozenset()

    def make_fp8(self):
        """Every matrix of the layers becomes FP8 under a scale for 128 x 128, in directories. Yields their values."""
        self.config["quantization_config"] = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
                                              "weight_block_size": [128, 128]}
        names = [n for n, x in self.hf.items() if x.ndim == 2 and n.startswith("model.layers.") and "gate.weight" not in n]
        self.fp8 = frozenset(names)
        for name in names:
            codes = self.random.integers(0, 256, self.hf[name].shape).astype(np.uint8)
            codes[(codes & 127) == 127] = 0
            rows, columns = codes.shape
            tiles = math.ceil(rows / 128), math.ceil(columns / 128)
            typical = np.sqrt(np.mean(e4m3(codes).astype(np.float64) ** 2))
            scales = self.draw(tiles, 0.2, 1.0) * np.float32(self.hf[name].std() / typical)
            self.hf[name], self.hf[name + "_scale_inv"] = codes, scales
            yield name, e4m3(codes) * np.repeat(np.repeat(scales, 128, 0)[:rows], 128, 1)[:, :columns]


def mxfp4(m, rows, columns, experts):
    """Random codes: the two tensors of directories, and the bytes of GGUF's blocks."""
    codes = m.random.integers(0, 16, (experts, rows, columns // 32, 32)).astype(np.uint8)
    near = 127 - 2 + round(math.log2(1 / math.sqrt(columns)))
    scales = m.random.integers(near - 1, near + 1, codes.shape[:3]).astype(np.uint8)
    return codes[..., ::2] | codes[..., 1::2] << 4, scales, np.concatenate(
        [scales[..., None], codes[..., :16] | codes[..., 16:] << 4], -1).reshape(experts, rows, -1)


def gpt_oss(seed, experts=8, used=4, yarn=True, codes=False):
    """codes: experts as published, in MXFP4."""
    channels = 64
    m = Mixture("gpt-oss", seed, heads=4, kv_heads=2, head_dim=32, feed_forward=channels)
    m.common("GptOssForCausalLM", "gpt_oss", base=150000.0)
    m.own_heads()
    m.keys |= {"expert_count": experts, "expert_used_count": used, "expert_feed_forward_length": channels,
               "attention.sliding_window": 24}
    m.config |= {"num_local_experts": experts, "num_experts_per_tok": used, "sliding_window": 24, "swiglu_limit": 7.0,
                 "attention_bias": True, "rope_scaling": {"rope_type": "default"},
                 "layer_types": ["sliding_attention", "full_attention"] * (m.layers // 2)}
    if codes:
        m.config["quantization_config"] = {"quant_method": "mxfp4"}
    if yarn:
        m.keys |= {"rope.scaling.type": "yarn", "rope.scaling.factor": 32.0, "rope.scaling.original_context_length": 64}
        m.config["rope_scaling"] = {"rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 64,
                                    "beta_fast": 32.0, "beta_slow": 1.0, "truncate": True}
    m.ends()
    queries, keys = m.heads * m.head_dim, m.kv_heads * m.head_dim
    for i in range(m.layers):
        b, h = f"blk.{i}.", f"model.layers.{i}."
        a, x = h + "self_attn.", h + "mlp.experts."
        m.norm(b + "attn_norm", h + "input_layernorm")
        m.norm(b + "post_attention_norm", h + "post_attention_layernorm")
        for part, rows, gain in (("q", queries, 2.0), ("k", keys, 2.0), ("v", keys, 1.0)):
            m.tensor(b + f"attn_{part}.weight", a + f"{part}_proj.weight", rows, m.width, spread=gain / math.sqrt(m.width))
            m.tensor(b + f"attn_{part}.bias", a + f"{part}_proj.bias", rows, spread=0.3)
        m.tensor(b + "attn_sinks.weight", a + "sinks", m.heads, spread=2.0)
        m.tensor(b + "attn_output.weight", a + "o_proj.weight", m.width, queries)
        m.tensor(b + "attn_output.bias", a + "o_proj.bias", m.width, spread=0.3)
        m.tensor(b + "ffn_gate_inp.weight", h + "mlp.router.weight", experts, m.width, spread=2 / math.sqrt(m.width))
        m.tensor(b + "ffn_gate_inp.bias", h + "mlp.router.bias", experts, spread=0.3)
        if codes:
            m.hf[x + "gate_up_proj_blocks"], m.hf[x + "gate_up_proj_scales"], both = mxfp4(m, 2 * channels, m.width, experts)
            m.gguf[b + "ffn_gate_exps.weight"] = np.ascontiguousarray(both[:, ::2])
            m.gguf[b + "ffn_up_exps.weight"] = np.ascontiguousarray(both[:, 1::2])
            m.hf[x + "down_proj_blocks"], m.hf[x + "down_proj_scales"], m.gguf[b + "ffn_down_exps.weight"] = mxfp4(
                m, m.width, channels, experts)
        else:
            both = m.hf[x + "gate_up_proj"] = m.draw((experts, m.width, 2 * channels), 1 / math.sqrt(m.width))
            m.gguf[b + "ffn_gate_exps.weight"] = np.ascontiguousarray(both[:, :, ::2].swapaxes(1, 2))
            m.gguf[b + "ffn_up_exps.weight"] = np.ascontiguousarray(both[:, :, 1::2].swapaxes(1, 2))
            m.tensor(b + "ffn_down_exps.weight", x + "down_proj", experts, channels, m.width, spread=1 / math.sqrt(channels),
                     to_gguf=lambda x: x.swapaxes(1, 2))
        both = m.hf[x + "gate_up_proj_bias"] = m.draw((experts, 2 * channels), 0.5)
        m.gguf[b + "ffn_gate_exps.bias"] = np.ascontiguousarray(both[:, ::2])
        m.gguf[b + "ffn_up_exps.bias"] = np.ascontiguousarray(both[:, 1::2])
        m.tensor(b + "ffn_down_exps.bias", x + "down_proj_bias", experts, m.width, spread=0.5)
    return m


def deepseek2(seed, absorbed=True, query_rank=40, experts=8, used=3, groups=0, sigmoid=False, yarn=None, layers=4,
              fp8=False):
    """absorbed: the newer layout. sigmoid: V3; else V2. fp8: as V3 is published, with sizes of whole tiles."""
    wide = {"width": 128, "feed_forward": 256} if fp8 else {}
    m = Mixture("deepseek2", seed, heads=4 if fp8 else 3, kv_heads=1 if absorbed else 3, head_dim=48, layers=layers, **wide)
    m.common(*(("DeepseekV3ForCausalLM", "deepseek_v3") if sigmoid else ("DeepseekV2ForCausalLM", "deepseek_v2")))
    rank, rotary, value, channels, shared = 64, 16, 32, 48, 2
    if fp8:
        rank, query_rank, channels = 128, 128, 128
    plain = m.head_dim - rotary
    m.keys |= {"attention.kv_lora_rank": rank, "rope.dimension_count": rotary, "vocab_size": m.words,
               "expert_count": experts, "expert_used_count": used, "expert_feed_forward_length": channels,
               "expert_shared_count": shared, "leading_dense_block_count": 1, "expert_weights_scale": 1.5,
               "expert_gating_func": 2 if sigmoid else 1, "expert_weights_norm": sigmoid}
    m.config |= {"num_key_value_heads": m.heads, "kv_lora_rank": rank, "q_lora_rank": query_rank or None,
                 "qk_rope_head_dim": rotary, "qk_nope_head_dim": plain, "v_head_dim": value, "n_routed_experts": experts,
                 "num_experts_per_tok": used, "moe_intermediate_size": channels, "n_shared_experts": shared,
                 "first_k_dense_replace": 1, "routed_scaling_factor": 1.5, "norm_topk_prob": sigmoid,
                 "scoring_func": "sigmoid" if sigmoid else "softmax", "n_group": groups or 1,
                 "topk_group": groups // 2 or 1, "topk_method": "noaux_tc" if sigmoid else "greedy"}
    if query_rank:
        m.keys["attention.q_lora_rank"] = query_rank
    if groups:
        m.keys |= {"expert_group_count": groups, "expert_group_used_count": groups // 2}
    if absorbed:
        m.keys |= {"attention.key_length": rank + rotary, "attention.value_length": rank,
                   "attention.key_length_mla": m.head_dim, "attention.value_length_mla": value}
    else:
        m.keys |= {"attention.key_length": m.head_dim, "attention.value_length": value}
    if yarn is not None:
        m.keys |= {"rope.scaling.type": "yarn", "rope.scaling.factor": 8.0, "rope.scaling.original_context_length": 64}
        m.config["rope_scaling"] = {"type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64,
                                    "beta_fast": 32, "beta_slow": 1, "mscale": yarn, "mscale_all_dim": yarn}
        if yarn:
            m.keys["rope.scaling.yarn_log_multiplier"] = 0.1 * yarn
    m.ends()
    for i in range(m.layers):
        b, h = f"blk.{i}.", f"model.layers.{i}."
        a = h + "self_attn."
        m.norm(b + "attn_norm", h + "input_layernorm")
        m.norm(b + "ffn_norm", h + "post_attention_layernorm")
        queries = m.heads * m.head_dim
        if query_rank:
            m.tensor(b + "attn_q_a.weight", a + "q_a_proj.weight", query_rank, m.width)
            m.norm(b + "attn_q_a_norm", a + "q_a_layernorm", query_rank)
            m.tensor(b + "attn_q_b.weight", a + "q_b_proj.weight", queries, query_rank, spread=2 / math.sqrt(query_rank))
        else:
            m.tensor(b + "attn_q.weight", a + "q_proj.weight", queries, m.width, spread=2 / math.sqrt(m.width))
        m.tensor(b + "attn_kv_a_mqa.weight", a + "kv_a_proj_with_mqa.weight", rank + rotary, m.width)
        m.norm(b + "attn_kv_a_norm", a + "kv_a_layernorm", rank)
        m.tensor(b + "attn_kv_b.weight", a + "kv_b_proj.weight", m.heads * (plain + value), rank, spread=1.5 / math.sqrt(rank))
        m.tensor(b + "attn_output.weight", a + "o_proj.weight", m.width, m.heads * value)
        if i == 0:
            for part, rows, columns in (("gate", m.feed_forward, m.width), ("up", m.feed_forward, m.width),
                                        ("down", m.width, m.feed_forward)):
                m.tensor(b + f"ffn_{part}.weight", h + f"mlp.{part}_proj.weight", rows, columns)
            continue
        m.tensor(b + "ffn_gate_inp.weight", h + "mlp.gate.weight", experts, m.width, spread=2 / math.sqrt(m.width))
        if sigmoid:
            m.tensor(b + "exp_probs_b.bias", h + "mlp.gate.e_score_correction_bias", experts, spread=0.2)
        for part, rows, columns in (("gate", channels, m.width), ("up", channels, m.width), ("down", m.width, channels)):
            m.experts(b + f"ffn_{part}_exps.weight", h + f"mlp.experts.{{}}.{part}_proj.weight", experts, rows, columns)
        for part, rows, columns in (("gate", channels * shared, m.width), ("up", channels * shared, m.width),
                                    ("down", m.width, channels * shared)):
            m.tensor(b + f"ffn_{part}_shexp.weight", h + f"mlp.shared_experts.{part}_proj.weight", rows, columns)
    if fp8:
        take_values(m)
    if absorbed:
        for i in range(m.layers):
            heads = m.gguf.pop(f"blk.{i}.attn_kv_b.weight").reshape(m.heads, plain + value, rank)
            m.gguf[f"blk.{i}.attn_k_b.weight"] = np.ascontiguousarray(heads[:, :plain].swapaxes(1, 2))
            m.gguf[f"blk.{i}.attn_v_b.weight"] = np.ascontiguousarray(heads[:, plain:])
    if not absorbed or yarn == 0.0:
        m.hf = {}  # carat gives directories the newer layout, and refuses those without mscale
    return m


def take_values(m):
    """The values of FP8 into what GGUF holds: wherever the same numbers were before."""
    before = dict(m.hf)
    for name, values in list(m.make_fp8()):
        for gguf_name, held in m.gguf.items():
            if held.shape == values.shape and np.array_equal(held, before[name]):
                m.gguf[gguf_name] = values
            elif held.ndim == 3:
                for e in range(len(held)):
                    if held[e].shape == values.shape and np.array_equal(held[e], before[name]):
                        held[e] = values


# Where a seed is given, it is one whose texts have no token between two experts, closer than programs round.
MIXTURES = {
    "gpt-oss": lambda seed: gpt_oss(100),
    "deepseek2": deepseek2,
    "deepseek2, old layout": lambda seed: deepseek2(seed, absorbed=False),
    "deepseek2, direct queries": lambda seed: deepseek2(seed, query_rank=0, layers=27, experts=4, used=4),
    "deepseek2, groups, sigmoid": lambda seed: deepseek2(seed, experts=12, used=4, groups=4, sigmoid=True),
    "deepseek2, yarn": lambda seed: deepseek2(seed, yarn=0.707),
    "deepseek2, old, yarn, mscale 1": lambda seed: deepseek2(seed, absorbed=False, yarn=1.0),
    "deepseek2, yarn without mscale": lambda seed: deepseek2(seed, yarn=0.0),
    "gpt-oss, 1 of 3, no yarn": lambda seed: gpt_oss(8, 3, 1, yarn=False),
    "gpt-oss, MXFP4": lambda seed: gpt_oss(seed, codes=True),
    "deepseek2, yarn, sigmoid": lambda seed: deepseek2(seed, sigmoid=True, yarn=1.0),
    "deepseek2, FP8": lambda seed: deepseek2(seed, sigmoid=True, fp8=True),
}
