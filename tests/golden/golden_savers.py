"""Step savers inside diffusers' UNet, by hooks that change what modules get and give; nothing is computed less."""


class Calls:
    """Which call of a run is being made, and what its schedule says."""

    def __init__(self, n_calls, guidance, interval):
        self.at, self.kept = -1, None
        self.start, self.stop = (int(share * n_calls + 0.5) for share in guidance)
        self.interval = interval

    def is_guided(self):
        return self.start <= self.at < self.stop

    def is_whole(self):
        first = self.stop if self.at >= self.stop else self.start if self.at >= self.start else 0
        return (self.at - first) % self.interval == 0


def limit_guidance(unet, calls):
    """Where there is no guidance both halves are the prompt's: their difference is 0."""
    def without(_module, _inputs, output):
        if not calls.is_guided():
            output[0][:] = output[0].chunk(2)[1].repeat(2, 1, 1, 1)
        return output
    return [unet.register_forward_hook(without)]


def skip_channels(config):
    """Channels of the outputs of the down path, in their order."""
    blocks, widths = config.block_out_channels, [config.block_out_channels[0]]
    for i, width in enumerate(blocks):
        widths += [width] * (config.layers_per_block + (i + 1 < len(blocks)))
    return widths


def reuse(unet, calls, depth):
    """The residual block of the up path that takes skip `depth` - 1 gets what came from below at the last whole call."""
    block = [resnet for up in unet.up_blocks for resnet in up.resnets][-depth]
    n_skip = skip_channels(unet.config)[depth - 1]
    def swap(_module, inputs):
        below = inputs[0][:, :-n_skip]
        if calls.is_whole():
            calls.kept = below.clone()
        inputs[0][:, :-n_skip] = calls.kept
    return [block.register_forward_pre_hook(swap)]


def transformers_by_level(unet):
    """Transformer blocks by resolution, the finest with any first."""
    levels = [[] for _ in unet.down_blocks]
    for i, down in enumerate(unet.down_blocks):
        levels[i] += getattr(down, "attentions", [])
    for i, up in enumerate(unet.up_blocks):
        levels[-1 - i] += getattr(up, "attentions", [])
    if unet.mid_block is not None:
        levels[-1] += unet.mid_block.attentions
    return [level for level in levels if level]


def fewer_keys(unet, n_levels):
    """ToDo: keys and values from every second row and column of what the layer sees."""
    def hook_of(transformer):
        size = []
        def note(_module, inputs):
            size[:] = inputs[0].shape[-2:]
        def choose(_module, inputs, options):
            tokens = inputs[0]
            grid = tokens.unflatten(1, tuple(size))[:, ::2, ::2]
            return inputs, {**options, "encoder_hidden_states": grid.flatten(1, 2)}
        return [transformer.register_forward_pre_hook(note)] + [
            block.attn1.register_forward_pre_hook(choose, with_kwargs=True) for block in transformer.transformer_blocks]
    chosen = [transformer for level in transformers_by_level(unet)[:n_levels] for transformer in level]
    return [hook for transformer in chosen for hook in hook_of(transformer)]


def save_steps(unet, spec):
    """Hooks a UNet for one run; the handles are to be removed after it."""
    savers = spec.get("savers", {})
    n_calls = int(spec["steps"] * spec.get("strength", 1.0))
    calls = Calls(n_calls, savers.get("guidance", [0.0, 1.0]), savers.get("reuse_interval", 1))
    def count(_module, _inputs):
        calls.at += 1
    hooks = [unet.register_forward_pre_hook(count)]
    if "guidance" in savers:
        hooks += limit_guidance(unet, calls)
    if "reuse_interval" in savers:
        hooks += reuse(unet, calls, savers["reuse_depth"])
    if "kv_downsample" in savers:
        hooks += fewer_keys(unet, savers["kv_downsample"])
    return hooks
