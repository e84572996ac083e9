"""Writes the fixtures of tests/steering_formats.rs with the libraries that others use.

Run in this folder with torch, safetensors, gguf and numpy installed. Row r of a fixture holds
value(r, i) = ((r * 7 + i * 3) % 11 - 5) / 4, which every element type holds exactly.
"""

import collections
import os

import gguf
import numpy as np
import torch
from safetensors.torch import save_file

WIDTH = 6


def row(r, dtype=torch.float32):
    return torch.tensor([((r * 7 + i * 3) % 11 - 5) / 4 for i in range(WIDTH)], dtype=dtype)


TYPES = {
    "f16": torch.float16,
    "bf16": torch.bfloat16,
    "f32": torch.float32,
    "f64": torch.float64,
}

for name, dtype in TYPES.items():
    save_file({"anything": row(0, dtype)}, f"bare_{name}.safetensors")
    torch.save(row(0, dtype), f"bare_{name}.pt")

save_file({"v": row(0).reshape(1, WIDTH)}, "bare_1xn.safetensors", metadata={"model_hint": "llama"})
save_file({f"layer.{k}": row(k) for k in (1, 2, 10)}, "layered.safetensors")
save_file({f"layers.{k}": row(k, torch.float16) for k in (1, 2, 10)}, "layers_f16.safetensors")
save_file({str(k): row(k) for k in (1, 2, 10)}, "integers.safetensors")
save_file({"direction.1": row(1), "bias": row(2)}, "mixed_names.safetensors")
save_file({"layer.1": torch.ones(2, 3)}, "matrix.safetensors")
save_file({"layer.1": torch.arange(6)}, "int64.safetensors")

torch.save(torch.nn.Parameter(row(0)), "parameter.pt")
torch.save({k: row(k) for k in (1, 2, 10)}, "int_keys.pt")
torch.save({f"layer.{k}": row(k, torch.bfloat16) for k in (1, 2, 10)}, "named_bf16.pt")
ordered = collections.OrderedDict((f"direction.{k}", row(k)) for k in (10, 1, 2))
torch.save(ordered, "ordered.pt")
torch.save({k: row(k) for k in (1, 2, 10)}, "protocol4.pt", pickle_protocol=4)
stack = torch.stack([row(k) for k in (0, 1, 2)])
torch.save({1: stack[1], 2: stack[2]}, "slices.pt")
# Columns of a transposed matrix: stride 3, offset 1 and 2.
columns = stack.t().contiguous()
torch.save({1: columns[:, 1], 2: columns[:, 2]}, "strided.pt")
torch.save(stack[1:2], "row_1xn.pt")
module = torch.nn.Module()
module.register_parameter("vector", torch.nn.Parameter(row(0)))
torch.save(module.state_dict(), "state_dict.pt")
torch.save(torch.arange(6), "int64.pt")
torch.save({"vector": row(0), "layer": 4}, "extra_value.pt")
torch.save([row(0)], "list.pt")
torch.save(row(0)[:1].expand(10**9), "expanded.pt")
torch.save(row(0), "legacy.pt", _use_new_zipfile_serialization=False)


class Evil:
    def __reduce__(self):
        return (os.system, ("true",))


torch.save({1: Evil()}, "evil.pt")
torch.save({1: Evil()}, "evil4.pt", pickle_protocol=4)


def control_vector(path, dtype, layers):
    writer = gguf.GGUFWriter(path, "controlvector")
    writer.add_string("controlvector.model_hint", "llama")
    writer.add_uint32("controlvector.layer_count", len(layers))
    writer.add_array("extra.names", ["a", "bc"])
    for k in layers:
        writer.add_tensor(f"direction.{k}", row(k).numpy().astype(dtype))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


control_vector("control.gguf", np.float32, (1, 2, 10))
control_vector("control_f16.gguf", np.float16, (1, 2, 10))
control_vector("layer_zero.gguf", np.float32, (0, 1))
writer = gguf.GGUFWriter("model.gguf", "llama")
writer.add_tensor("direction.1", row(1).numpy())
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
