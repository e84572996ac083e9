"""Writes the fixtures of crates/elpis-steering/tests/steering/formats.rs with the libraries that others use.

Run in this folder with torch, safetensors, gguf and numpy installed. Row r of a fixture holds
value(r, i) = ((r * 7 + i * 3) % 11 - 5) / 4, which every element type holds exactly.
"""

import collections
import os
import pickle
import zipfile

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


def matrix(rows, dtype=np.float32):
    return np.stack([row(k).numpy() for k in rows]).astype(dtype)


def archive(path, obj, protocol, rename=None):
    """What torch.save would write with another protocol, or with an older numpy."""
    data = pickle.dumps(obj, protocol=protocol)
    if rename:
        data = data.replace(*rename)
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("archive/data.pkl", data)
        z.writestr("archive/byteorder", b"little")


torch.save(row(0).numpy(), "numpy_bare.pt")
torch.save({k: row(k).numpy() for k in (1, 2, 10)}, "numpy_layers.pt")
torch.save({np.int64(k): row(k).double().numpy() for k in (1, 2, 10)}, "numpy_keys.pt")
for protocol in (2, 3, 4, 5):
    named = {f"layer_{k}": row(k).half().numpy() for k in (1, 2, 10)}
    archive(f"numpy_protocol{protocol}.pt", named, protocol)
for protocol in (2, 3):
    archive(
        f"numpy_core{protocol}.pt",
        {f"model.layers.{k}": row(k).numpy().astype(">f4") for k in (1, 2, 10)},
        protocol,
        (b"numpy._core.multiarray", b"numpy.core.multiarray"),
    )
torch.save(np.asfortranarray(matrix((0, 1, 2))), "numpy_fortran.pt")
archive("numpy_fortran5.pt", np.asfortranarray(matrix((0, 1, 2))), 5)
torch.save(np.arange(6), "numpy_int.pt")
torch.save(np.array([1j]), "numpy_complex.pt")
torch.save(np.array([row(0).numpy(), None], dtype=object), "numpy_object.pt")
torch.save(np.zeros(2, dtype=[("a", "<f4")]), "numpy_record.pt")

torch.save(torch.stack([row(k) for k in (0, 1, 2)]), "matrix.pt")
torch.save(torch.stack([row(k) for k in (0, 1, 2)]).t().contiguous().t(), "matrix_strided.pt")
torch.save({"vectors": torch.tensor(matrix((1, 2, 10))), "layers": [1, 2, 10]}, "matrix_layers.pt")
torch.save({"vector": row(10), "layer": np.int64(10), "model": "llama"}, "layer_beside.pt")
torch.save({"model_type": "llama", "directions": {k: row(k).numpy() for k in (1, 2, 10)}}, "nested.pt")
torch.save({"layer_3": row(1), "alpha": 2.5}, "alpha.pt")
torch.save({"layers.-1": row(1)}, "negative.pt")
torch.save({"hidden_states.3": row(1)}, "hidden_states.pt")

# Row k of emotion e is row(3 * e + k).
EMOTIONS = ["Joy", "at ease"]
pack = np.stack([matrix((0, 1, 2)), matrix((3, 4, 5))])
torch.save({"emotions": EMOTIONS, "vectors": torch.tensor(pack)}, "pack.pt")
torch.save({"emotions": tuple(EMOTIONS), "vectors": pack, "n_layers": 3, "model": "llama"}, "pack_numpy.pt")
torch.save({"emotions": np.array(EMOTIONS), "vectors": pack}, "pack_names.pt")
torch.save({"emotions": np.array(EMOTIONS, dtype=object), "vectors": pack.astype("f8")}, "pack_objects.pt")
torch.save({name: torch.tensor(m) for name, m in zip(EMOTIONS, pack)}, "pack_named.pt")
torch.save({name: dict(enumerate(torch.tensor(m))) for name, m in zip(EMOTIONS, pack)}, "pack_dicts.pt")
torch.save({"emotions": EMOTIONS[:1], "vectors": pack}, "pack_short.pt")
torch.save(pack, "pack_nameless.pt")
save_file(
    {"vectors": torch.tensor(pack)}, "pack.safetensors", metadata={"emotions": '["Joy", "at ease"]'}
)
save_file({"vectors": torch.tensor(matrix((0, 1, 2)))}, "rows.safetensors")
save_file(
    {"vectors": torch.tensor(matrix((1, 2, 10)))}, "rows_layers.safetensors", metadata={"layers": "1, 2,10"}
)
save_file({f"blk.{k}.attn": row(k) for k in (1, 2, 10)}, "blk.safetensors")

for dtype in ("<f2", ">f4", "<f8"):
    np.save(f"bare_{dtype[1:]}.npy", row(0).numpy().astype(dtype))
np.save("rows.npy", matrix((0, 1, 2)))
np.save("fortran.npy", np.asfortranarray(matrix((0, 1, 2))))
np.save("int.npy", np.arange(6))
np.save("object.npy", np.array([{}], dtype=object), allow_pickle=True)
np.savez("layers.npz", **{f"layer-{k}": row(k).numpy() for k in (1, 2, 10)})
np.savez_compressed("layers_compressed.npz", **{f"L{k}": row(k).double().numpy() for k in (1, 2, 10)})
np.savez("rows.npz", matrix((0, 1, 2)))
np.savez_compressed("pack.npz", emotions=np.array(EMOTIONS), vectors=pack)
np.savez("rows_layers.npz", vectors=matrix((1, 2, 10)), layers=np.array([1, 2, 10], dtype=np.int32))


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
# As other tools write them: other metadata, or none.
writer = gguf.GGUFWriter("easysteer.gguf", "controlvector")
writer.add_string("controlvector.model_hint", "unknown")
writer.add_string("controlvector.method", "diffmean")
writer.add_uint32("controlvector.layer_count", 3)
for key in ("normalize", "n_positive", "n_negative", "token_pos"):
    writer.add_float32(f"controlvector.{key}", 1.0)
for k in range(3):
    writer.add_tensor(f"direction.{k}", row(k).numpy())
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
writer = gguf.GGUFWriter("plain.gguf", "controlvector")
for k in (1, 2, 10):
    bf16 = (row(k).numpy().view(np.uint32) >> 16).astype(np.uint16)
    writer.add_tensor(f"direction.{k}", bf16.view(np.uint8), raw_dtype=gguf.GGMLQuantizationType.BF16)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
writer = gguf.GGUFWriter("model.gguf", "llama")
writer.add_tensor("direction.1", row(1).numpy())
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
