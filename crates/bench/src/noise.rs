//! How much somebody else disturbed a measurement.

use std::hint::black_box;
use std::time::Instant;

use serde::Serialize;

use crate::accounting::Spent;

/// Spins before a run, each of the same work.
const SPINS: usize = 40;
/// Steps of one spin: about two milliseconds.
const STEPS: u64 = 1_000_000;
/// A processor that is ours alone is hardly ever so much slower than at its best.
const SPREAD_MAX: f64 = 1.25;
/// Of one core. The kernel's own threads, which write for everybody, use half of it under load.
const STRANGERS_MAX: f64 = 0.25;
/// Of one core.
const STOLEN_MAX: f64 = 0.02;

/// What disturbed one run.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Noise {
    /// Before the run: the 90th percentile of equal pieces of work against the fastest.
    pub(crate) spin_spread: f64,
    /// During the run: cores that processes used which are neither Plumbline's nor ours.
    pub(crate) strangers: f64,
    /// During the run: cores that the host gave to somebody else.
    pub(crate) stolen: f64,
}

impl Noise {
    /// From a spin before a run, and what the run used.
    pub(crate) fn of(spin_spread: f64, spent: &Spent) -> Self {
        let cores = |seconds: f64| {
            if spent.wall > 0.0 {
                seconds / spent.wall
            } else {
                0.0
            }
        };
        Self {
            spin_spread,
            strangers: cores(spent.strangers),
            stolen: cores(spent.stolen),
        }
    }

    /// What was wrong, in words; empty when the machine was quiet.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut complaints = vec![];
        if self.spin_spread > SPREAD_MAX {
            complaints.push(format!(
                "equal work took up to {:.2} times as long before the run",
                self.spin_spread
            ));
        }
        if self.strangers > STRANGERS_MAX {
            complaints.push(format!("other processes used {:.2} cores", self.strangers));
        }
        if self.stolen > STOLEN_MAX {
            complaints.push(format!("the host took {:.2} cores away", self.stolen));
        }
        complaints
    }
}

/// Do the same work several times, and compare.
pub(crate) fn spin_spread() -> f64 {
    let mut times: Vec<f64> = (0..SPINS)
        .map(|_| {
            let began = Instant::now();
            let mut state = black_box(88_172_645_463_325_252_u64);
            for _ in 0..STEPS {
                // xorshift: each step needs the one before it.
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
            }
            black_box(state);
            began.elapsed().as_secs_f64()
        })
        .collect();
    spread_of(&mut times)
}

fn spread_of(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    match (times.first(), times.get(times.len() * 9 / 10)) {
        (Some(&fastest), Some(&slow)) if fastest > 0.0 => slow / fastest,
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_hiccup_is_no_noise_and_many_are() {
        let mut quiet = vec![1.0; 39];
        quiet.push(9.0);
        assert!(spread_of(&mut quiet) <= SPREAD_MAX);
        let mut noisy: Vec<f64> = (0..40).map(|i| if i % 4 == 0 { 2.0 } else { 1.0 }).collect();
        assert!(spread_of(&mut noisy) > SPREAD_MAX);
        assert!((spread_of(&mut []) - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn each_disturbance_is_named() {
        let quiet = Noise {
            spin_spread: 1.05,
            strangers: 0.13,
            stolen: 0.0,
        };
        assert!(quiet.complaints().is_empty());
        for (noise, word) in [
            (
                Noise {
                    spin_spread: 1.5,
                    ..quiet
                },
                "1.50 times",
            ),
            (
                Noise {
                    strangers: 0.7,
                    ..quiet
                },
                "0.70 cores",
            ),
            (Noise { stolen: 0.3, ..quiet }, "host"),
        ] {
            assert!(
                noise
                    .complaints()
                    .iter()
                    .any(|complaint| complaint.contains(word)),
                "{noise:?}"
            );
        }
    }
}
