/* vae-build.h - graphs of the four halves; used inside this room. */
#ifndef TT_VAE_VAE_BUILD_H
#define TT_VAE_VAE_BUILD_H

#include "graph/graph.h"
#include "vae/vae.h"

/* Appends a decoder: input "latent" [1][latent_channels][height][width], output "image" [1][3][height*f][width*f]; KL
 * in -1..1, tiny in 0..1. */
void tt_vae_build_kl_decoder(tt_graph *graph, const tt_vae_config *config, uint32_t height, uint32_t width);
void tt_vae_build_tiny_decoder(tt_graph *graph, const tt_vae_config *config, uint32_t height, uint32_t width);

/* Appends an encoder: input "image" [1][3][height][width]; output "latent": KL [1][2*latent_channels] (mean, logvar),
 * tiny [1][latent_channels]. */
void tt_vae_build_kl_encoder(tt_graph *graph, const tt_vae_config *config, uint32_t height, uint32_t width);
void tt_vae_build_tiny_encoder(tt_graph *graph, const tt_vae_config *config, uint32_t height, uint32_t width);

#endif
