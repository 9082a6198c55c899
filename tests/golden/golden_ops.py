"""Operators in float64, rounded once to float32; shapes are ragged on purpose."""
import torch
import torch.nn.functional as F

from golden_inputs import noise, save_arrays, save_json

_arrays, _notes = {}, []


def values(name, *shape, scale=1.0, shift=0.0):
    return torch.from_numpy(noise("ops." + name, shape, scale, shift).copy())


def put(name, note, **arrays):
    for key, value in arrays.items():
        _arrays[f"{name}.{key}"] = value.float().contiguous()
    _notes.append([name, note])


def norms():
    for name, shape, eps, scale, offset in (
            ("gn_a", (2, 64, 3, 5), 1e-5, 1, 0), ("gn_b", (1, 96, 5, 3), 1e-6, 1, 0),
            ("gn_smallvar5", (1, 64, 3, 3), 1e-5, 3e-3, 0), ("gn_smallvar6", (1, 64, 3, 3), 1e-6, 1e-3, 0),
            ("gn_offset", (1, 32, 9, 7), 1e-6, 0.5, 30), ("gn_large", (1, 64, 4, 4), 1e-5, 2000, 0)):
        x = values(name + ".x", *shape, scale=scale, shift=offset)
        w, b = values(name + ".w", shape[1], scale=0.2, shift=1), values(name + ".b", shape[1], scale=0.2)
        put(name, f"GroupNorm groups=32 eps={eps}", x=x, w=w, b=b,
            y=F.group_norm(x.double(), 32, w.double(), b.double(), eps))
    for name, shape, scale, offset in (("ln_a", (5, 44), 1, 0), ("ln_smallvar", (3, 36), 2e-3, 0),
                                       ("ln_offset", (3, 321), 0.3, 20)):
        x = values(name + ".x", *shape, scale=scale, shift=offset)
        w, b = values(name + ".w", shape[1], scale=0.2, shift=1), values(name + ".b", shape[1], scale=0.2)
        put(name, "LayerNorm eps=1e-5", x=x, w=w, b=b,
            y=F.layer_norm(x.double(), shape[1:], w.double(), b.double(), 1e-5))


def pointwise():
    edges = torch.tensor([0.0, -0.0, 1e-6, -1e-6, 88, -88, 200, -200])
    x = torch.cat([torch.linspace(-12, 12, 101), edges])
    d = x.double()
    put("act", "silu, gelu (erf), gelu (tanh), quick_gelu x*sigmoid(1.702x)", x=x, silu=F.silu(d), gelu=F.gelu(d),
        gelu_tanh=F.gelu(d, approximate="tanh"), quick_gelu=d * torch.sigmoid(1.702 * d))
    x = values("geglu", 3, 2 * 44, scale=2)
    value, gate = x.double().chunk(2, -1)
    put("geglu", "first half * gelu(second half)", x=x, y=value * F.gelu(gate))
    x = torch.cat([values("softmax", 3, 77, scale=3), values("softmax.sharp", 1, 77, scale=200),
                   torch.full((1, 77), -1e4)])
    put("softmax", "rows; row 3 has logits of hundreds, row 4 is all -1e4", x=x, y=torch.softmax(x.double(), -1))


def attention():
    for name, heads, n_q, n_k, dim, causal, scale in (
            ("attn_d40", 2, 19, 19, 40, 0, 1), ("attn_d80x", 2, 5, 21, 80, 0, 1), ("attn_d160", 1, 5, 19, 160, 0, 1),
            ("attn_d64_causal", 1, 27, 27, 64, 1, 1), ("attn_sharp", 2, 17, 17, 40, 0, 5),
            ("attn_d512", 1, 5, 5, 512, 0, 1), ("attn_1key", 2, 5, 1, 40, 0, 1)):
        q = values(name + ".q", 1, n_q, heads * dim, scale=scale)
        k = values(name + ".k", 1, n_k, heads * dim, scale=scale)
        v = values(name + ".v", 1, n_k, heads * dim)
        by_head = lambda x: x.double().reshape(1, -1, heads, dim).transpose(1, 2)
        scores = by_head(q) @ by_head(k).transpose(-1, -2) / dim**0.5
        if causal:
            scores = scores.masked_fill(torch.ones(n_q, n_k).triu(1).bool(), -torch.inf)
        y = (torch.softmax(scores, -1) @ by_head(v)).transpose(1, 2).reshape(1, n_q, heads * dim)
        put(name, f"heads={heads} dim={dim} causal={causal}; layout [batch, tokens, heads*dim]", q=q, k=k, v=v, y=y)


def convolutions():
    for name, n_in, n_out, height, width, size, stride, pad in (
            ("conv3", 12, 20, 7, 9, 3, 1, (1, 1, 1, 1)), ("conv3s2", 12, 8, 8, 6, 3, 2, (1, 1, 1, 1)),
            ("conv3s2_odd", 8, 8, 9, 7, 3, 2, (1, 1, 1, 1)), ("conv3s2_asym", 8, 12, 8, 10, 3, 2, (0, 1, 0, 1)),
            ("conv1", 17, 9, 5, 6, 1, 1, (0, 0, 0, 0)), ("conv_in4", 4, 24, 7, 5, 3, 1, (1, 1, 1, 1)),
            ("conv_out4", 24, 4, 5, 7, 3, 1, (1, 1, 1, 1)), ("conv5", 1, 6, 9, 8, 5, 1, (2, 2, 2, 2))):
        x = values(name + ".x", 1, n_in, height, width)
        w = values(name + ".w", n_out, n_in, size, size, scale=(n_in * size * size) ** -0.5)
        b = values(name + ".b", n_out, scale=0.1)
        put(name, f"stride {stride}, pad left,right,top,bottom {pad}", x=x, w=w, b=b,
            y=F.conv2d(F.pad(x.double(), pad), w.double(), b.double(), stride))


def resampling():
    x = values("upsample", 1, 3, 5, 4)
    d = x.double()
    put("upsample", "nearest x2; nearest to 9x7; bilinear x2; bicubic x2 (both align_corners false)", x=x,
        y2=F.interpolate(d, scale_factor=2.0, mode="nearest"), y9x7=F.interpolate(d, size=(9, 7), mode="nearest"),
        bil2=F.interpolate(d, scale_factor=2.0, mode="bilinear", align_corners=False),
        bic2=F.interpolate(d, scale_factor=2.0, mode="bicubic", align_corners=False))
    x = values("pixel_shuffle", 1, 12, 3, 4)
    put("pixel_shuffle", "r=2, channel order c,by,bx", x=x, y=F.pixel_shuffle(x, 2))
    x, w = values("deconv.x", 1, 6, 5, 4), values("deconv.w", 6, 3, 4, 4, scale=0.2)
    b = values("deconv.b", 3, scale=0.1)
    put("deconv4s2p3", "conv_transpose2d k4 s2 p3, weight [in,out,kh,kw]", x=x, w=w, b=b,
        y=F.conv_transpose2d(x.double(), w.double(), b.double(), 2, 3))


def products():
    a, b = values("linear.a", 37, 70), values("linear.b", 45, 70, scale=70**-0.5)
    put("linear", "y = a b^T", a=a, b=b, y=a.double() @ b.double().T)


def write(folder):
    _arrays.clear()
    _notes.clear()
    for make in (norms, pointwise, attention, convolutions, resampling, products):
        make()
    save_arrays(folder, "ops", _arrays)
    save_json(folder, "ops", _notes)
