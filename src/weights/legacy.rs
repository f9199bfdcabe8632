//! Names that older versions of diffusers and transformers wrote, and people's files still have.

use super::{WeightsError, checkpoint::Checkpoint, part::Part};

/// The attention of an `AutoencoderKL` as published for Stable Diffusion 1.5, and its layers' names today.
const ATTENTION: [(&str, &str); 4] =
    [("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out.0")];

/// A count of the tokens' places, which transformers once saved with the weights.
fn is_needless(key: &str) -> bool {
    key.ends_with("_model.embeddings.position_ids")
}

/// One name for all that versions of a library called it; needless tensors are left out.
///
/// # Errors
/// [`WeightsError::Unreadable`] where a tensor is there under two names.
pub(super) fn rename(checkpoint: Checkpoint, part: Option<Part>) -> Result<Checkpoint, WeightsError> {
    match part {
        Some(Part::Vae) => {
            let mut checkpoint = checkpoint.rename(|key| Some(autoencoder(key)))?;
            linear_attention(&mut checkpoint);
            Ok(checkpoint)
        }
        Some(Part::TextEncoder) => checkpoint.rename(text_encoder),
        _ => checkpoint.rename(|key| (!is_needless(key)).then(|| key.into())),
    }
}

/// The oldest single files and the newest transformers leave `text_model` out.
pub(super) fn text_encoder(key: &str) -> Option<String> {
    let key = if key.starts_with("text_model.") { key.into() } else { format!("text_model.{key}") };
    (!is_needless(&key)).then_some(key)
}

fn autoencoder(key: &str) -> String {
    let Some((half, layer)) = key.split_once(".mid_block.attentions.0.") else { return key.into() };
    let (name, rest) = layer.split_once('.').unwrap_or((layer, ""));
    match ATTENTION.iter().find(|(old, _)| *old == name) {
        Some((_, new)) => format!("{half}.mid_block.attentions.0.{new}.{rest}"),
        None => key.into(),
    }
}

/// The autoencoder's attention was once made of 1x1 convolutions: the same numbers as of a linear layer.
pub(super) fn linear_attention(checkpoint: &mut Checkpoint) {
    for (key, stored) in &mut checkpoint.tensors {
        let is_attention = ["encoder.mid_block.attentions.0.to_", "decoder.mid_block.attentions.0.to_"]
            .iter()
            .any(|own| key.starts_with(own));
        if is_attention && stored.shape.len() == 4 && stored.shape[2..] == [1, 1] {
            stored.shape.truncate(2);
        }
    }
}
