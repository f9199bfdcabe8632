//! The autoencoder of patches: principal components, no training.

use tch::{Kind, Tensor, nn::VarStore};

/// Each channel's deviation is its component's to this power: fine texture weighs less than tone, and the
/// channels together have unit variance.
const EVENNESS: f64 = 0.4;

/// Fits `vae.encoder` and `vae.decoder` to `pictures`, `[n, 3, H, W]`, 0..1.
pub fn fit(store: &VarStore, pictures: &Tensor) {
    let _no_grad = tch::no_grad_guard();
    let mut variables = store.variables();
    let shape = variables["vae.encoder.weight"].size(); // [channels, 3, patch, patch]
    let patches = (pictures * 2.0 - 1.0).pixel_unshuffle(shape[2]); // [n, 3 * patch * patch, h, w]
    let patches = patches.permute([0, 2, 3, 1]).flatten(0, 2); // [patches, 3 * patch * patch]
    let mean = patches.mean_dim([0].as_slice(), false, Kind::Float);
    let centered = patches - &mean;
    let covariance = centered.transpose(0, 1).matmul(&centered) / centered.size()[0] as f64;
    let (_, vectors) = covariance.linalg_eigh("L");
    let basis = vectors.flip([1]).narrow(1, 0, shape[0]); // [3 * patch * patch, channels]
    let deviation = centered.matmul(&basis).std_dim([0].as_slice(), true, false);
    let scale = deviation.pow_tensor_scalar(1.0 - EVENNESS);
    let scale = &scale * (&deviation / &scale).square().mean(Kind::Float).sqrt();
    let encoder = (&basis / &scale).transpose(0, 1).contiguous(); // [channels, 3 * patch * patch]
    let decoder = (basis * scale).transpose(0, 1).contiguous();
    // the decoder's bias is one colour; what else the mean patch holds comes through the latents
    let color = mean.view([3, -1]).mean_dim([1].as_slice(), false, Kind::Float);
    let offset = -encoder.matmul(&color.repeat_interleave_self_int(shape[2] * shape[2], 0, None));
    let mut set = |key: &str, values: &Tensor| {
        let variable = variables.get_mut(key).expect("a patch autoencoder's key");
        let size = variable.size();
        variable.copy_(&values.view(size.as_slice()));
        let _ = variable.requires_grad_(false);
    };
    set("vae.encoder.weight", &encoder);
    set("vae.encoder.bias", &offset);
    set("vae.decoder.weight", &decoder);
    set("vae.decoder.bias", &color);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::smooth_noise;
    use gstflowvid::{
        diffusion::DiffusionModel,
        torch::Placement,
        weights::{ModelFolder, search_path},
    };

    #[test]
    fn smooth_pictures_come_back_and_latents_have_unit_variance() {
        let store = VarStore::new(Placement::cpu().device);
        let folder = ModelFolder::find("nano", &search_path(None)).unwrap();
        let model = DiffusionModel::new(&store.root(), &folder).unwrap();
        let pictures = (smooth_noise([4, 3, 64, 64], 6.0, store.device()) * 0.2 + 0.5).clamp(0.0, 1.0);
        fit(&store, &pictures);
        let _no_grad = tch::no_grad_guard();
        let latents = model.encode_pictures(&pictures);
        let error = (model.decode_latents(&latents) - &pictures).abs().mean(Kind::Float).double_value(&[]);
        assert!(error < 0.01, "{error}");
        let variance = (&latents - latents.mean_dim([0, 2, 3].as_slice(), true, Kind::Float)).square();
        let variance = variance.mean(Kind::Float).double_value(&[]);
        assert!((variance - 1.0).abs() < 0.02, "{variance}");
    }
}
