//! A LoRA's keys: for which network, which layer, and what of it.

use super::part::Part;

/// What a tensor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// `[rank, in, ..]`
    Down,
    /// `[out, rank, ..]`
    Up,
    /// One number.
    Alpha,
}

/// A key of a LoRA's file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LoraKey {
    pub part: Part,
    /// The layer's name in the network, with `_` in place of `.`: all that kohya's layout tells.
    pub layer: String,
    pub role: Role,
}

/// What each key of a file that peft itself saved begins with. Whose the network is, the file does not say.
pub(super) const PEFT: &str = "base_model.model.";

/// By what a key begins. Old files of attention processors are the UNet's, without a name for it.
const PARTS: [(&str, Part); 7] = [
    ("lora_unet_", Part::UNet),
    ("lora_te_", Part::TextEncoder),
    ("lora_te1_", Part::TextEncoder),
    ("unet.", Part::UNet),
    ("text_encoder.", Part::TextEncoder),
    ("base_model.model.text_model.", Part::TextEncoder),
    (PEFT, Part::UNet),
];

/// By what a key ends.
const ROLES: [(&str, Role); 10] = [
    (".lora_down.weight", Role::Down),
    (".lora_up.weight", Role::Up),
    (".lora_A.weight", Role::Down),
    (".lora_B.weight", Role::Up),
    (".lora.down.weight", Role::Down),
    (".lora.up.weight", Role::Up),
    (".lora_linear_layer.down.weight", Role::Down),
    (".lora_linear_layer.up.weight", Role::Up),
    (".alpha", Role::Alpha),
    (".lora.alpha", Role::Alpha),
];

impl LoraKey {
    /// `None` where it is no LoRA's key.
    pub fn parse(key: &str) -> Option<Self> {
        let known = PARTS.iter().find_map(|&(prefix, part)| Some((part, key.strip_prefix(prefix)?)));
        let (part, rest) = known.unwrap_or((Part::UNet, key));
        let (layer, role) = processor(rest).or_else(|| {
            let layer = |&(end, role): &(&str, Role)| Some((rest.strip_suffix(end)?.to_owned(), role));
            ROLES.iter().rev().find_map(layer)
        })?;
        let layer = layer.replace('.', "_");
        // the newest transformers leave it out, and so does the table
        let lacks_prefix = part == Part::TextEncoder && !layer.starts_with("text_model_");
        let layer = if lacks_prefix { format!("text_model_{layer}") } else { layer };
        Some(Self { part, layer, role })
    }
}

/// `….attn1.processor.to_q_lora.down.weight`, of the layer `….attn1.to_q`.
fn processor(key: &str) -> Option<(String, Role)> {
    let (attention, rest) = key.split_once(".processor.")?;
    let (layer, end) = rest.split_once("_lora.")?;
    let role = match end {
        "down.weight" => Role::Down,
        "up.weight" => Role::Up,
        _ => return None,
    };
    let layer = if layer == "to_out" { "to_out.0" } else { layer };
    Some((format!("{attention}.{layer}"), role))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layout_names_its_layer() {
        use Part::{TextEncoder, UNet};
        for (key, part, layer, role) in [
            (
                "lora_unet_mid_block_resnets_0_conv1.lora_down.weight",
                UNet,
                "mid_block_resnets_0_conv1",
                Role::Down,
            ),
            ("lora_unet_conv_in.alpha", UNet, "conv_in", Role::Alpha),
            (
                "lora_te_text_model_encoder_layers_1_mlp_fc1.lora_up.weight",
                TextEncoder,
                "text_model_encoder_layers_1_mlp_fc1",
                Role::Up,
            ),
            ("lora_te1_text_model_a.alpha", TextEncoder, "text_model_a", Role::Alpha),
            ("unet.a.0.to_q.lora_A.weight", UNet, "a_0_to_q", Role::Down),
            ("unet.a.0.to_q.lora.up.weight", UNet, "a_0_to_q", Role::Up),
            (
                "text_encoder.text_model.b.q_proj.lora_linear_layer.down.weight",
                TextEncoder,
                "text_model_b_q_proj",
                Role::Down,
            ),
            (
                "down_blocks.0.attn1.processor.to_out_lora.up.weight",
                UNet,
                "down_blocks_0_attn1_to_out_0",
                Role::Up,
            ),
            ("text_encoder.encoder.b.fc1.lora_A.weight", TextEncoder, "text_model_encoder_b_fc1", Role::Down),
            ("unet.a.to_q.lora.alpha", UNet, "a_to_q", Role::Alpha),
            ("base_model.model.a.0.to_q.lora_A.weight", UNet, "a_0_to_q", Role::Down),
            ("base_model.model.text_model.b.fc1.lora_B.weight", TextEncoder, "text_model_b_fc1", Role::Up),
        ] {
            assert_eq!(LoraKey::parse(key), Some(LoraKey { part, layer: layer.into(), role }), "{key}");
        }
        for key in ["lora_unet_conv_in.lora_mid.weight", "lora_unet_conv_in.dora_scale", "conv_in.weight", ""]
        {
            assert_eq!(LoraKey::parse(key), None, "{key}");
        }
    }
}
