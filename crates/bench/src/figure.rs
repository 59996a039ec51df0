//! One measured number, what was wanted of it, and what several runs of it come to.

use serde::Serialize;

use crate::statistics::median;

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    PerSecond,
    Microseconds,
    Milliseconds,
    Seconds,
    Megabytes,
    Bytes,
    Percent,
    Times,
    Count,
}

impl Unit {
    /// As it stands behind a number.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::PerSecond => "/s",
            Self::Microseconds => "us",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::Megabytes => "MB",
            Self::Bytes => "B",
            Self::Percent => "%",
            Self::Times => "x",
            Self::Count => "",
        }
    }
}

/// What a number should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    /// Whether a number is as it should be.
    pub(crate) fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }
}

/// A number of one run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) unit: Unit,
    pub(crate) value: f64,
    pub(crate) goal: Option<Goal>,
    pub(crate) stretch: Option<Goal>,
    /// A part of the figure above it.
    pub(crate) is_part: bool,
}

impl Figure {
    /// A number of which nothing special is wanted.
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: Unit) -> Self {
        Self {
            name: name.into(),
            unit,
            value,
            goal: None,
            stretch: None,
            is_part: false,
        }
    }

    /// How many of something.
    pub(crate) fn count(name: impl Into<String>, count: usize) -> Self {
        Self::new(name, count as f64, Unit::Count)
    }

    /// It should be this at least.
    pub(crate) fn at_least(mut self, least: f64) -> Self {
        self.goal = Some(Goal::AtLeast(least));
        self
    }

    /// It should be this at most.
    pub(crate) fn at_most(mut self, most: f64) -> Self {
        self.goal = Some(Goal::AtMost(most));
        self
    }

    /// And if all goes very well, so much in the direction of the goal.
    pub(crate) fn stretch(mut self, value: f64) -> Self {
        self.stretch = match self.goal {
            Some(Goal::AtLeast(_)) => Some(Goal::AtLeast(value)),
            Some(Goal::AtMost(_)) => Some(Goal::AtMost(value)),
            None => None,
        };
        self
    }

    /// It is a part of the figure above it.
    pub(crate) fn part(mut self) -> Self {
        self.is_part = true;
        self
    }
}

/// The same number of several runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) unit: Unit,
    pub(crate) median: f64,
    pub(crate) runs: Vec<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) goal: Option<Goal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stretch: Option<Goal>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_part: bool,
}

impl Measured {
    /// Whether the goal is met; `None` without one.
    pub(crate) fn is_met(&self) -> Option<bool> {
        Some(self.goal?.is_met_by(self.median))
    }
}

/// Put the figures of several runs together by name, in the order of their first appearance.
pub(crate) fn together(runs: &[Vec<Figure>]) -> Vec<Measured> {
    let mut all: Vec<Measured> = vec![];
    for figure in runs.iter().flatten() {
        if let Some(known) = all.iter_mut().find(|known| known.name == figure.name) {
            known.runs.push(figure.value);
        } else {
            all.push(Measured {
                name: figure.name.clone(),
                unit: figure.unit,
                median: figure.value,
                runs: vec![figure.value],
                goal: figure.goal,
                stretch: figure.stretch,
                is_part: figure.is_part,
            });
        }
    }
    for measured in &mut all {
        measured.median = median(&measured.runs).unwrap_or(f64::NAN);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_at_its_very_value() {
        for (goal, value, met) in [
            (Goal::AtLeast(5.0), 5.0, true),
            (Goal::AtLeast(5.0), 4.99, false),
            (Goal::AtMost(5.0), 5.0, true),
            (Goal::AtMost(5.0), 5.01, false),
            (Goal::AtMost(5.0), f64::NAN, false),
        ] {
            assert_eq!(goal.is_met_by(value), met, "{goal:?} {value}");
        }
    }

    #[test]
    fn runs_are_put_together_by_name_and_judged_by_their_median() {
        let run = |rate: f64, lost: usize| {
            vec![
                Figure::new("rate", rate, Unit::PerSecond)
                    .at_least(10.0)
                    .stretch(20.0),
                Figure::count("lost", lost).at_most(0.0),
            ]
        };
        let all = together(&[run(9.0, 0), run(30.0, 3), run(11.0, 0)]);
        let [rate, lost] = &all[..] else {
            panic!("two figures: {all:?}")
        };
        assert_eq!((rate.median, rate.is_met()), (11.0, Some(true)));
        assert_eq!(rate.runs, [9.0, 30.0, 11.0]);
        assert_eq!(rate.stretch, Some(Goal::AtLeast(20.0)));
        assert_eq!((lost.median, lost.is_met()), (0.0, Some(true)));
        assert!(together(&[]).is_empty());
    }
}
