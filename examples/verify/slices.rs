//! What diffusers' own slow tests expect of the public weights, at commit 58eb52c0: a few numbers of each output. Their
//! inputs are normal noise that lies as arrays in a data set of the hub.

use gstflowvid::diffusion::{KeyframeMemory, Text, UNet2DConditionModel, Vae};
use tch::{Kind, Tensor};

/// Which weights the numbers are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Weights {
    /// stable-diffusion-v1-5/stable-diffusion-v1-5
    #[value(name = "v1-5")]
    V15,
    /// CompVis/stable-diffusion-v1-4
    #[value(name = "v1-4")]
    V14,
}

/// The expectation of one test.
#[derive(Debug, Clone)]
pub struct Slice {
    /// `unet` or `vae`.
    pub component: &'static str,
    /// The test's class and name.
    pub test: &'static str,
    /// Of its input arrays.
    pub seed: u64,
    pub input: Input,
    pub expected: [f64; 8],
    /// The test's own.
    pub tolerance: f64,
}

/// What a test runs.
#[derive(Debug, Clone, Copy)]
pub enum Input {
    /// The UNet at this timestep.
    Denoise(i64),
    /// Encoder and decoder, without the posterior's noise.
    RoundTrip,
    /// The decoder.
    Decode,
}

const UNET_V15: &str = "UNet2DConditionModelIntegrationTests.test_compvis_sd_v1_5";
const UNET_V14: &str = "UNet2DConditionModelIntegrationTests.test_compvis_sd_v1_4";
const VAE_MODE: &str = "AutoencoderKLIntegrationTests.test_stable_diffusion_mode";
const VAE_DECODE: &str = "AutoencoderKLIntegrationTests.test_stable_diffusion_decode";

/// The slices of these weights. Both models have the same autoencoder.
pub fn published(weights: Weights) -> Vec<Slice> {
    let unet = match weights {
        Weights::V15 => unet_v15(),
        Weights::V14 => unet_v14(),
    };
    unet.into_iter().chain(vae()).collect()
}

fn denoise(test: &'static str, seed: u64, timestep: i64, expected: [f64; 8]) -> Slice {
    Slice { component: "unet", test, seed, input: Input::Denoise(timestep), expected, tolerance: 1e-3 }
}

/// Timesteps of 0.55 and 0.89 are whole numbers where they arrive.
#[allow(clippy::approx_constant)] // 0.3927 is what a network answered
fn unet_v15() -> Vec<Slice> {
    vec![
        denoise(UNET_V15, 33, 4, [-0.4430, 0.1570, -0.1867, 0.2376, 0.3205, -0.3681, 0.0525, -0.0722]),
        denoise(UNET_V15, 47, 0, [-0.1415, 0.0129, -0.3136, 0.2257, 0.3430, -0.0536, 0.2114, -0.0436]),
        denoise(UNET_V15, 21, 0, [-0.7091, 0.6664, -0.3643, 0.9032, 0.4499, -0.6541, 0.0139, 0.1750]),
        denoise(UNET_V15, 9, 1000, [0.8878, -0.5659, 0.5844, -0.7442, 1.1883, -0.3927, 1.1192, -0.4423]),
    ]
}

fn unet_v14() -> Vec<Slice> {
    vec![
        denoise(UNET_V14, 33, 4, [-0.4424, 0.1510, -0.1937, 0.2118, 0.3746, -0.3957, 0.0160, -0.0435]),
        denoise(UNET_V14, 47, 0, [-0.1508, 0.0379, -0.3075, 0.2540, 0.3633, -0.0821, 0.1719, -0.0207]),
        denoise(UNET_V14, 21, 0, [-0.6479, 0.6364, -0.3464, 0.8697, 0.4443, -0.6289, -0.0091, 0.1778]),
        denoise(UNET_V14, 9, 1000, [0.8888, -0.5659, 0.5834, -0.7469, 1.1912, -0.3923, 1.1241, -0.4424]),
    ]
}

fn vae() -> Vec<Slice> {
    let slice = |test, seed, input, expected, tolerance| Slice {
        component: "vae",
        test,
        seed,
        input,
        expected,
        tolerance,
    };
    vec![
        slice(
            VAE_MODE,
            33,
            Input::RoundTrip,
            [-0.1609, 0.9866, -0.0487, -0.0777, -0.2716, 0.8368, -0.2055, -0.0814],
            3e-3,
        ),
        slice(
            VAE_MODE,
            47,
            Input::RoundTrip,
            [-0.2377, 0.1147, 0.1333, -0.4841, -0.2506, -0.0805, -0.0491, -0.4085],
            3e-3,
        ),
        slice(
            VAE_DECODE,
            13,
            Input::Decode,
            [-0.2051, -0.1803, -0.2311, -0.2114, -0.3292, -0.3574, -0.2953, -0.3323],
            1e-3,
        ),
        slice(
            VAE_DECODE,
            37,
            Input::Decode,
            [-0.2632, -0.2625, -0.2199, -0.2741, -0.4539, -0.4990, -0.3720, -0.4925],
            1e-3,
        ),
    ]
}

/// The name of an input in the data set.
pub fn array_name(seed: u64, shape: [i64; 4]) -> String {
    let text = |shape: &[i64]| shape.iter().map(i64::to_string).collect::<Vec<_>>().join("_");
    // a text's embedding has three dimensions
    let shape = if shape[3] == 0 { text(&shape[..3]) } else { text(&shape) };
    format!("gaussian_noise_s={seed}_shape={shape}.npy")
}

/// The UNet's numbers: only a batch's last sample is looked at, and samples know nothing of each other.
///
/// - `latents`: `[4, channels, 64, 64]`
/// - `hidden_states`: `[4, 77, cross_attention_dim]`
pub fn denoised(
    unet: &UNet2DConditionModel,
    latents: &Tensor,
    hidden_states: &Tensor,
    timestep: i64,
) -> [f64; 8] {
    let last = |tensor: &Tensor| tensor.narrow(0, tensor.size()[0] - 1, 1);
    let (latents, text) = (last(latents), Text::new(last(hidden_states)));
    let timestep = Tensor::from_slice(&[timestep]).to_device(latents.device());
    let sample = unet.forward(&latents, &timestep, &text, None, &mut KeyframeMemory::new(1));
    corner(&sample, Corner::Channels)
}

/// The autoencoder's numbers.
///
/// - `scaling_factor`: the config's, which the tests leave out
pub fn decoded(vae: &Vae, input: &Tensor, what: Input, scaling_factor: f64) -> [f64; 8] {
    let last = input.narrow(0, input.size()[0] - 1, 1);
    let (pictures, corner_of) = match what {
        Input::Decode => (vae.decode(&(last * scaling_factor)), Corner::Columns),
        _ => (vae.decode(&vae.encode(&(last * 0.5 + 0.5))), Corner::Channels),
    };
    corner(&(pictures * 2.0 - 1.0), corner_of)
}

/// Which eight numbers of `[1, c, h, w]` a test looks at.
pub enum Corner {
    /// `[-1, -2:, -2:, :2]`: channels from the end, rows from the end, columns from the beginning.
    Channels,
    /// `[-1, -2:, :2, -2:]`
    Columns,
}

pub fn corner(tensor: &Tensor, which: Corner) -> [f64; 8] {
    let end = |tensor: &Tensor, dim: i64| tensor.narrow(dim, tensor.size()[dim as usize] - 2, 2);
    let tensor = end(tensor, 1);
    let eight = match which {
        Corner::Channels => end(&tensor, 2).narrow(3, 0, 2),
        Corner::Columns => end(&tensor.narrow(2, 0, 2), 3),
    };
    let values = Vec::<f64>::try_from(eight.to_kind(Kind::Double).flatten(0, -1).contiguous());
    values.ok().and_then(|values| values.try_into().ok()).expect("eight numbers")
}
