"""The text encoder and the UNet: transformers' and diffusers' own classes, scaled down."""

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTextConfig, CLIPTextModel

from latents import CELLS, CHANNELS
from tokenizer import LENGTH

TEXT_WIDTH = 128

UNET = {
    "sample_size": CELLS,
    "in_channels": CHANNELS,
    "out_channels": CHANNELS,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (64, 96, 160, 128),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "cross_attention_dim": TEXT_WIDTH,
    "attention_head_dim": 4,  # the number of heads, as in SD1 configs
}

SCHEDULER = {
    "num_train_timesteps": 1000,
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
    "clip_sample": False,
    "set_alpha_to_one": True,
    "steps_offset": 1,
}


def build_unet(different=None):
    """different: what a student's config has in place of UNET's."""
    return UNet2DConditionModel(**(UNET | (different or {})))


def build_text_encoder(vocabulary_size):
    """CLIPTextModel whose words start far apart.

    The class's own initialisation (deviation 0.02) lets the frequent words, the colours, grow first;
    the final layer norm then hides the nouns for good and the UNet never learns what they mean.
    """
    model = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary_size,
            hidden_size=TEXT_WIDTH,
            intermediate_size=512,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=LENGTH,
            hidden_act="quick_gelu",
            layer_norm_eps=1e-5,
            projection_dim=TEXT_WIDTH,
            bos_token_id=vocabulary_size - 2,
            eos_token_id=vocabulary_size - 1,
            pad_token_id=vocabulary_size - 1,
        )
    )
    with torch.no_grad():
        model.get_input_embeddings().weight.normal_(std=0.5)
        model.embeddings.position_embedding.weight.normal_(std=0.1)
    return model


def build_scheduler():
    return DDIMScheduler(**SCHEDULER)


class Diffusion:
    """The forward process and the v target (Salimans and Ho, 2022)."""

    def __init__(self):
        cumulative = build_scheduler().alphas_cumprod.float()
        self.alpha, self.sigma = cumulative.sqrt(), (1 - cumulative).sqrt()

    def at(self, steps):
        """Shares of picture and noise at the steps, [B,1,1,1] each."""
        return tuple(a[steps].view(-1, 1, 1, 1) for a in (self.alpha, self.sigma))

    def draw(self, latents, generator):
        """(noisy, steps, v). More high-noise steps than uniform: t = 1000 u^0.75."""
        uniform = torch.rand(len(latents), generator=generator)
        steps = (1000 * uniform**0.75).long().clamp(max=999)
        noise = torch.randn(latents.shape, generator=generator)
        alpha, sigma = self.at(steps)
        return alpha * latents + sigma * noise, steps, alpha * noise - sigma * latents


class Denoiser(torch.nn.Module):
    """Token ids and a noisy latent in, v prediction out; trained as one module."""

    def __init__(self, vocabulary_size, unet=None):
        super().__init__()
        self.text = build_text_encoder(vocabulary_size)
        self.unet = build_unet(unet)

    def use_plain_attention(self):
        """Products and softmax as separate steps: on CPUs a third faster to train than the fused form."""
        self.unet.set_attn_processor(AttnProcessor())
        self.text.set_attn_implementation("eager")
        return self

    def forward(self, noisy, timesteps, ids):
        context = self.text(input_ids=ids).last_hidden_state
        return self.unet(noisy, timesteps, encoder_hidden_states=context).sample
