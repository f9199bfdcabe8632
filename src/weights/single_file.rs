//! A whole model in one file, in Stable Diffusion 1's original layout (what A1111 and ComfyUI load): its keys by
//! diffusers' and transformers' names. Source: the key lists in diffusers' `loaders/single_file_utils.py`.

use std::path::Path;

use serde_json::Value;

use super::{WeightsError, checkpoint::Checkpoint, legacy, part::Part};

/// What such a file holds besides the three networks and nobody needs: the averaged copies of a training, its noise
/// schedule and its loss. A key is ignored if it begins so.
pub(super) const IGNORED: [&str; 18] = [
    "model_ema.",
    "alphas_cumprod",
    "betas",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_",
    "lvlb_weights",
    "logvar",
    "scale_factor",
    "denoiser.",
    "embedding_manager.",
    "first_stage_model.loss.",
    "first_stage_model.model_ema.",
    "cond_stage_model.logit_scale",
    "cond_stage_model.transformer.text_projection.",
];

const UNET: &str = "model.diffusion_model.";
const VAE: &str = "first_stage_model.";
const TEXT_ENCODER: &str = "cond_stage_model.transformer.";

/// Opens the part `part` of `file`, under diffusers' keys. Keys that belong to no part and are not known to be
/// needless stay, under their own names: a strict load refuses them.
///
/// - `config`: the component's, for the network's depth
///
/// # Errors
/// [`WeightsError::Unreadable`].
pub(super) fn open(file: &Path, part: Part, config: &Value) -> Result<Checkpoint, WeightsError> {
    let depth = Depth::of(config);
    let mut checkpoint = Checkpoint::open(file)?.rename(|key| rename(key, part, depth))?;
    if part == Part::Vae {
        legacy::linear_attention(&mut checkpoint);
    }
    Ok(checkpoint)
}

fn rename(key: &str, wanted: Part, depth: Depth) -> Option<String> {
    if IGNORED.iter().any(|ignored| key.starts_with(ignored)) {
        return None;
    }
    let parts = [(UNET, Part::UNet), (VAE, Part::Vae), (TEXT_ENCODER, Part::TextEncoder)];
    let own = parts.into_iter().find_map(|(prefix, part)| Some((key.strip_prefix(prefix)?, part)));
    let (own, part) = match own {
        Some((own, part)) if part == wanted => (own, part),
        Some(_) => return None,
        None => return Some(key.into()),
    };
    match part {
        Part::UNet => Some(unet(own, depth).unwrap_or_else(|| key.into())),
        Part::Vae => Some(vae(own, depth).unwrap_or_else(|| key.into())),
        Part::TextEncoder => legacy::text_encoder(own),
    }
}

/// How deep the networks are, as far as it decides about names.
#[derive(Debug, Clone, Copy)]
struct Depth {
    layers: usize,
    blocks: usize,
}

impl Depth {
    /// diffusers' defaults where the config says nothing.
    fn of(config: &Value) -> Self {
        let layers = config.get("layers_per_block").and_then(Value::as_u64).unwrap_or(2);
        let blocks = config.get("block_out_channels").and_then(Value::as_array).map_or(4, Vec::len);
        Self { layers: layers as usize, blocks }
    }
}

/// The original UNet numbers its blocks through: `input_blocks.4.1` is the attention of the second block's first layer.
fn unet(key: &str, depth: Depth) -> Option<String> {
    let (block, rest) = key.split_once('.')?;
    let (index, inner) = rest.split_once('.')?;
    let index: usize = index.parse().ok()?;
    match block {
        "time_embed" => Some(format!("time_embedding.linear_{}.{inner}", index / 2 + 1)),
        "out" => Some(format!("{}.{inner}", if index == 0 { "conv_norm_out" } else { "conv_out" })),
        "middle_block" if index == 1 => Some(format!("mid_block.attentions.0.{inner}")),
        "middle_block" => Some(format!("mid_block.resnets.{}.{}", index / 2, unet_resnet(inner)?)),
        "input_blocks" if index == 0 => Some(format!("conv_in.{}", inner.strip_prefix("0.")?)),
        "input_blocks" => numbered("down_blocks", index - 1, inner, depth),
        "output_blocks" => numbered("up_blocks", index, inner, depth),
        _ => None,
    }
}

fn numbered(blocks: &str, index: usize, inner: &str, depth: Depth) -> Option<String> {
    let (block, layer) = (index / (depth.layers + 1), index % (depth.layers + 1));
    let (place, inner) = inner.split_once('.')?;
    let inner = match (place, inner.split_once('.')) {
        (_, Some(("op", inner))) => format!("downsamplers.0.conv.{inner}"),
        (_, Some(("conv", inner))) => format!("upsamplers.0.conv.{inner}"),
        ("0", _) => format!("resnets.{layer}.{}", unet_resnet(inner)?),
        _ => format!("attentions.{layer}.{inner}"),
    };
    Some(format!("{blocks}.{block}.{inner}"))
}

fn unet_resnet(key: &str) -> Option<String> {
    let names = [
        ("in_layers.0.", "norm1"),
        ("in_layers.2.", "conv1"),
        ("emb_layers.1.", "time_emb_proj"),
        ("out_layers.0.", "norm2"),
        ("out_layers.3.", "conv2"),
        ("skip_connection.", "conv_shortcut"),
    ];
    names.into_iter().find_map(|(old, new)| Some(format!("{new}.{}", key.strip_prefix(old)?)))
}

/// The original decoder counts its levels from the highest resolution, diffusers from the lowest.
fn vae(key: &str, depth: Depth) -> Option<String> {
    let (half, inner) = key.split_once('.')?;
    if !matches!(half, "encoder" | "decoder") {
        return matches!(half, "quant_conv" | "post_quant_conv").then(|| key.into());
    }
    let inner = match inner.split_once('.')? {
        ("conv_in" | "conv_out", _) => inner.into(),
        ("norm_out", rest) => format!("conv_norm_out.{rest}"),
        ("mid", rest) => format!("mid_block.{}", vae_middle(rest)?),
        ("down", rest) => vae_level("down_blocks", rest, Some)?,
        ("up", rest) => vae_level("up_blocks", rest, |index| (depth.blocks - 1).checked_sub(index))?,
        _ => return None,
    };
    Some(format!("{half}.{inner}"))
}

fn vae_level(blocks: &str, key: &str, index: impl Fn(usize) -> Option<usize>) -> Option<String> {
    let (level, inner) = key.split_once('.')?;
    let level = index(level.parse().ok()?)?;
    let inner = match inner.split_once('.')? {
        ("block", inner) => format!("resnets.{}", vae_resnet(inner)),
        ("downsample", inner) => format!("downsamplers.0.{inner}"),
        ("upsample", inner) => format!("upsamplers.0.{inner}"),
        _ => return None,
    };
    Some(format!("{blocks}.{level}.{inner}"))
}

fn vae_middle(key: &str) -> Option<String> {
    match key.split_once('.')? {
        ("block_1", inner) => Some(format!("resnets.0.{}", vae_resnet(inner))),
        ("block_2", inner) => Some(format!("resnets.1.{}", vae_resnet(inner))),
        ("attn_1", inner) => {
            let (layer, inner) = inner.split_once('.')?;
            let names = [
                ("norm", "group_norm"),
                ("q", "to_q"),
                ("k", "to_k"),
                ("v", "to_v"),
                ("proj_out", "to_out.0"),
            ];
            let (_, new) = names.into_iter().find(|(old, _)| *old == layer)?;
            Some(format!("attentions.0.{new}.{inner}"))
        }
        _ => None,
    }
}

fn vae_resnet(key: &str) -> String {
    key.replace("nin_shortcut", "conv_shortcut")
}
