//! Which noise levels a run of some steps visits.

use super::{
    config::{FinalSigmasType, SchedulerClass, SchedulerConfig, TimestepSpacing},
    noise_schedule::{Level, NoiseSchedule},
};

/// A step of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Visit {
    /// What the network is told; a whole number except with Euler's method.
    pub timestep: f64,
    /// The sample's noise before the step.
    pub level: Level,
    /// And after it.
    pub next: Level,
}

/// The steps of a run of `steps`, from the most noise to the least; with a `strength` under 1, from so much less.
pub fn visits(config: &SchedulerConfig, schedule: &NoiseSchedule, steps: usize, strength: f64) -> Vec<Visit> {
    let whole = match config.class {
        SchedulerClass::Ddim | SchedulerClass::Pndm => ddim(config, schedule, steps),
        SchedulerClass::Lcm => return lcm(config, schedule, steps, strength),
        SchedulerClass::Euler | SchedulerClass::DpmSolver => {
            by_ratio(config, schedule, &spaced(config, steps))
        }
    };
    let taken = ((steps as f64 * strength) as usize).clamp(1, steps);
    whole[steps - taken..].to_vec()
}

fn ddim(config: &SchedulerConfig, schedule: &NoiseSchedule, steps: usize) -> Vec<Visit> {
    let distance = config.num_train_timesteps / steps;
    let end = if config.set_alpha_to_one() { Level::CLEAN } else { schedule.level(0) };
    let visit = |timestep: f64| {
        let at = timestep as usize;
        let next = at.checked_sub(distance).map_or(end, |previous| schedule.level(previous));
        Visit { timestep, level: schedule.level(at), next }
    };
    spaced(config, steps).into_iter().map(visit).collect()
}

/// Taken evenly from the steps that the model was distilled on; the last one ends at the clean sample.
fn lcm(config: &SchedulerConfig, schedule: &NoiseSchedule, steps: usize, strength: f64) -> Vec<Visit> {
    let original = config.original_inference_steps;
    let distance = config.num_train_timesteps / original;
    let used = ((original as f64 * strength) as usize).max(steps);
    let timestep = |index: usize| (used - index * used / steps) * distance - 1;
    let timesteps: Vec<usize> = (0..steps).map(timestep).collect();
    let next = timesteps.iter().skip(1).map(|&next| schedule.level(next)).chain([Level::CLEAN]);
    let visit = |(&at, next): (&usize, Level)| Visit { timestep: at as f64, level: schedule.level(at), next };
    timesteps.iter().zip(next).map(visit).collect()
}

/// The timesteps, descending. DPM-Solver spaces its steps as if the end were one more of them.
fn spaced(config: &SchedulerConfig, steps: usize) -> Vec<f64> {
    let train = config.num_train_timesteps;
    let end = usize::from(config.class == SchedulerClass::DpmSolver);
    let points = steps + end;
    let whole = config.class != SchedulerClass::Euler;
    let at = |index: usize| match config.timestep_spacing() {
        TimestepSpacing::Leading => ((index * (train / points)) as i64 + config.steps_offset) as f64,
        TimestepSpacing::Linspace => {
            let exact = (train - 1) as f64 * index as f64 / (points.max(2) - 1) as f64;
            if whole { exact.round_ties_even() } else { exact }
        }
        TimestepSpacing::Trailing => {
            let below = (points - 1 - index) as f64 * (train as f64 / steps as f64);
            (train as f64 - below).round_ties_even() - 1.0
        }
    };
    (end..points).rev().map(at).collect()
}

/// Levels by their ratio of noise to signal, interpolated at `timesteps`.
fn by_ratio(config: &SchedulerConfig, schedule: &NoiseSchedule, timesteps: &[f64]) -> Vec<Visit> {
    let table = schedule.ratios();
    let end = match config.final_sigmas_type {
        FinalSigmasType::Zero => 0.0,
        FinalSigmasType::SigmaMin => table[0],
    };
    let ratios: Vec<f64> = timesteps.iter().map(|&timestep| interpolated(&table, timestep)).collect();
    let (timesteps, ratios) = if config.use_karras_sigmas {
        let ratios = karras(karras_range(config.class, &table, &ratios), timesteps.len());
        (ratios.iter().map(|&ratio| timestep_of(config.class, &table, ratio)).collect(), ratios)
    } else {
        (timesteps.to_vec(), ratios)
    };
    let next = ratios.iter().skip(1).copied().chain([end]);
    let visit = |((&timestep, &ratio), next): ((&f64, &f64), f64)| Visit {
        timestep,
        level: Level::of_ratio(ratio),
        next: Level::of_ratio(next),
    };
    timesteps.iter().zip(&ratios).zip(next).map(visit).collect()
}

fn interpolated(table: &[f64], at: f64) -> f64 {
    let below = (at.floor() as usize).min(table.len() - 1);
    let above = (below + 1).min(table.len() - 1);
    table[below] + (at - below as f64) * (table[above] - table[below])
}

/// Greatest and least ratio: DPM-Solver spreads over the whole schedule, Euler's method over what it visits.
fn karras_range(class: SchedulerClass, table: &[f64], visited: &[f64]) -> (f64, f64) {
    match class {
        SchedulerClass::DpmSolver => (table[table.len() - 1], table[0]),
        _ => (visited[0], visited[visited.len() - 1]),
    }
}

/// Karras et al. 2206.00364, eq. 5.
fn karras((greatest, least): (f64, f64), steps: usize) -> Vec<f64> {
    const RHO: f64 = 7.0;
    let (from, to) = (greatest.powf(1.0 / RHO), least.powf(1.0 / RHO));
    let ramp = |index: usize| if steps == 1 { 0.0 } else { index as f64 / (steps - 1) as f64 };
    (0..steps).map(|index| (from + ramp(index) * (to - from)).powf(RHO)).collect()
}

/// The timestep whose ratio this is, interpolated on the logarithms.
fn timestep_of(class: SchedulerClass, table: &[f64], ratio: f64) -> f64 {
    let above = table.partition_point(|&known| known <= ratio).clamp(1, table.len() - 1);
    let (low, high) = (table[above - 1].ln(), table[above].ln());
    let timestep = (above - 1) as f64 + ((ratio.ln() - low) / (high - low)).clamp(0.0, 1.0);
    if class == SchedulerClass::DpmSolver { timestep.round_ties_even() } else { timestep }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timesteps(options: &str, steps: usize) -> Vec<f64> {
        timesteps_from(options, steps, 1.0)
    }

    fn timesteps_from(options: &str, steps: usize, strength: f64) -> Vec<f64> {
        let text = format!(
            r#"{{"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", {options}}}"#
        );
        let config: SchedulerConfig = serde_json::from_str(&text).unwrap();
        let visits = visits(&config, &NoiseSchedule::new(&config), steps, strength);
        visits.iter().map(|visit| visit.timestep).collect()
    }

    #[test]
    fn each_spacing_visits_its_timesteps() {
        for (spacing, steps, expected) in [
            ("leading", 4, vec![751.0, 501.0, 251.0, 1.0]),
            ("trailing", 4, vec![999.0, 749.0, 499.0, 249.0]),
            ("trailing", 1, vec![999.0]),
            ("trailing", 3, vec![999.0, 666.0, 332.0]),
            ("linspace", 3, vec![999.0, 500.0, 0.0]),
        ] {
            let options = format!(r#""steps_offset": 1, "timestep_spacing": "{spacing}""#);
            assert_eq!(timesteps(&options, steps), expected, "{spacing} {steps}");
        }
        let twenty = timesteps(r#""timestep_spacing": "trailing""#, 20);
        assert_eq!((twenty[0], twenty[1], twenty[19]), (999.0, 949.0, 49.0));
    }

    #[test]
    fn consistency_models_are_visited_where_they_were_distilled() {
        let class = r#""_class_name": "LCMScheduler""#;
        assert_eq!(timesteps(class, 4), [999.0, 759.0, 499.0, 259.0]);
        assert_eq!(timesteps(class, 50).len(), 50);
    }

    #[test]
    fn a_picture_is_noised_as_far_as_the_strength_asks() {
        let trailing = r#""timestep_spacing": "trailing""#;
        assert_eq!(timesteps_from(trailing, 4, 0.5), [499.0, 249.0]);
        assert_eq!(timesteps_from(trailing, 4, 0.01), [249.0], "at least one step");
        let class = r#""_class_name": "LCMScheduler""#;
        assert_eq!(timesteps_from(class, 4, 0.6), [599.0, 459.0, 299.0, 159.0]);
        assert_eq!(timesteps_from(class, 4, 0.8), [799.0, 599.0, 399.0, 199.0]);
    }
}
