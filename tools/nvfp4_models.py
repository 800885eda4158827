"""Small random models in NVFP4, as ModelOpt and compressed-tensors write directories and llama.cpp's converter GGUF files
(conversion/base.py, _nvfp4_pack there): random codes under random scales, and a factor for each matrix.
"""
import math

import gguf
import numpy as np

from expert_models import Mixture
from family_models import halves_to_pairs

NVFP4 = gguf.GGMLQuantizationType.NVFP4


class Nvfp4Model(Mixture):
    """packed: as compressed-tensors names and inverts things; else as ModelOpt does."""

    def __init__(self, arch, seed, packed, **sizes):
        super().__init__(arch, seed, heads=4, kv_heads=2, head_dim=32, width=128, feed_forward=192, layers=3, **sizes)
        self.packed = packed
        self.config["quantization_config"] = (
            {"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"} if packed else
            {"quant_method": "modelopt", "quant_algo": "NVFP4", "quant_method_version": "0.35"})

    def codes(self, hf, rows, columns, gain=1.0, order=lambda x: x):
        """A matrix under `hf` (without .weight) in directories. Returns GGUF's rows, the factor, and the input's."""
        codes = self.random.integers(0, 16, (rows, columns)).astype(np.uint8)
        scales = self.random.integers(0x30, 0x40, (rows, columns // 16)).astype(np.uint8)
        factor, read = np.float32(gain / 4 / math.sqrt(columns) * np.exp(self.draw((), 0.3))), np.float32(0.125)
        weight, of_all, of_input = ((".weight_packed", ".weight_global_scale", ".input_global_scale") if self.packed else
                                    (".weight", ".weight_scale_2", ".input_scale"))
        self.hf[hf + weight] = codes[:, ::2] | codes[:, 1::2] << 4
        self.hf[hf + ".weight_scale"] = scales
        self.fp8 = self.fp8 | {hf + ".weight_scale"}
        if self.packed:
            inverse = np.float32(1) / factor
            factor, read = np.float32(1) / inverse, np.float32(8)
            self.hf[hf + of_all], self.hf[hf + of_input] = np.float32([inverse]), np.float32([read])
        else:
            self.hf[hf + of_all], self.hf[hf + of_input] = np.array(factor), np.array(read)
        sixteen = order(codes).reshape(rows, -1, 4, 16)
        pairs = (sixteen[..., :8] | sixteen[..., 8:] << 4).reshape(rows, -1, 32)
        blocks = np.concatenate([order(scales).reshape(rows, -1, 4), pairs], axis=2).reshape(rows, -1)
        return blocks, factor, np.float32(1) / read if self.packed else read

    def linear(self, name, hf, rows, columns, gain=1.0, order=lambda x: x):
        blocks, factor, read = self.codes(hf, rows, columns, gain, order)
        self.gguf |= {name + ".weight": blocks, name + ".scale": np.float32([factor]), name + ".input_scale": np.float32([read])}

    def stack(self, name, hf, count, rows, columns):
        made = [self.codes(hf.format(i), rows, columns) for i in range(count)]
        for ending, values in zip((".weight", ".scale", ".input_scale"), zip(*made)):
            self.gguf[name + ending] = np.stack(values)

    def save_gguf(self, path):
        writer = gguf.GGUFWriter(path, self.arch)
        for key, value in self.keys.items():
            add = {str: writer.add_string, float: writer.add_float32, int: writer.add_uint32}[type(value)]
            add(f"{self.arch}.{key}", value)
        for name, kind, element, value in self.tokenizer:
            writer.add_key_value(name, value, kind, element if kind == gguf.GGUFValueType.ARRAY else None)
        for name, value in self.gguf.items():
            writer.add_tensor(name, value, raw_dtype=NVFP4 if value.dtype == np.uint8 else None)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def nvfp4(arch, hf_class, model_type, seed, packed, experts=0, used=2):
    m = Nvfp4Model(arch, seed, packed)
    m.common(hf_class, model_type)
    m.own_heads()
    m.embedding(gain=1.0)  # both programs round what meets the codes, and less spread amplifies that less
    m.norm("output_norm", "model.norm")
    if experts:
        m.keys |= {"expert_count": experts, "expert_used_count": used, "expert_feed_forward_length": 64}
        m.config |= {"num_experts": experts, "num_experts_per_tok": used, "moe_intermediate_size": 64, "norm_topk_prob": True}
    pairs = arch == "llama"
    for i in range(m.layers):
        b, h = f"blk.{i}.", f"model.layers.{i}."
        m.norm(b + "attn_norm", h + "input_layernorm")
        m.norm(b + "ffn_norm", h + "post_attention_layernorm")
        for part, heads, gain in (("q", m.heads, 2.0), ("k", m.kv_heads, 2.0), ("v", m.kv_heads, 1.0)):
            order = (lambda x, heads=heads: halves_to_pairs(x, heads)) if pairs and part != "v" else (lambda x: x)
            m.linear(b + f"attn_{part}", h + f"self_attn.{part}_proj", heads * m.head_dim, m.width, gain, order)
            if not pairs and part != "v":
                m.norm(b + f"attn_{part}_norm", h + f"self_attn.{part}_norm", m.head_dim)
        m.hf[h + "self_attn.k_proj.k_scale"] = np.float32([1])  # of the cache
        m.linear(b + "attn_output", h + "self_attn.o_proj", m.width, m.heads * m.head_dim)
        if not experts:
            m.linear(b + "ffn_gate", h + "mlp.gate_proj", m.feed_forward, m.width)
            m.linear(b + "ffn_up", h + "mlp.up_proj", m.feed_forward, m.width)
            m.linear(b + "ffn_down", h + "mlp.down_proj", m.width, m.feed_forward)
            continue
        m.tensor(b + "ffn_gate_inp.weight", h + "mlp.gate.weight", experts, m.width, spread=2 / math.sqrt(m.width))
        m.stack(b + "ffn_gate_exps", h + "mlp.experts.{}.gate_proj", experts, 64, m.width)
        m.stack(b + "ffn_up_exps", h + "mlp.experts.{}.up_proj", experts, 64, m.width)
        m.stack(b + "ffn_down_exps", h + "mlp.experts.{}.down_proj", experts, m.width, 64)
    return m


NVFP4_MODELS = {
    "llama, NVFP4 of ModelOpt": lambda seed: nvfp4("llama", "LlamaForCausalLM", "llama", seed, packed=False),
    "qwen3moe, NVFP4, compressed": lambda seed: nvfp4("qwen3moe", "Qwen3MoeForCausalLM", "qwen3_moe", seed, packed=True,
                                                      experts=6),
}
