//! What all runs came to: for people as a table, for programs as JSON.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use crate::figure::{Goal, Measured, Unit};
use crate::noise::Noise;
use crate::statistics::median;
use crate::workloads::CPU_PER_DELIVERY;

const NAME_WIDTH: usize = 38;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// In seconds since 1970.
    pub(crate) started_at: u64,
    pub(crate) cores: usize,
    /// A tenth of everything: the figures mean nothing.
    pub(crate) is_quick: bool,
    /// One, or two that are compared.
    pub(crate) binaries: Vec<PathBuf>,
    pub(crate) workloads: Vec<WorkloadReport>,
    /// How long all took.
    pub(crate) seconds: f64,
}

/// One workload.
#[derive(Debug, Serialize)]
pub(crate) struct WorkloadReport {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// In the order of the binaries.
    pub(crate) sides: Vec<Side>,
}

/// One workload with one set of binaries.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Side {
    pub(crate) figures: Vec<Measured>,
    /// Of each run.
    pub(crate) noise: Vec<Noise>,
    /// Deliveries that were promised and did not come, over all runs.
    pub(crate) lost: usize,
    /// Why runs could not be made.
    pub(crate) failures: Vec<String>,
}

impl Report {
    /// Whether nothing was lost and every run could be made.
    pub(crate) fn is_sound(&self) -> bool {
        self.workloads
            .iter()
            .flat_map(|workload| &workload.sides)
            .all(|side| side.lost == 0 && side.failures.is_empty())
    }

    /// A thousand endpoints should cost no more for each than ten: where both were measured, that is the goal.
    pub(crate) fn compare_fan_outs(&mut self) {
        let sides = |report: &Self, name: &str| report.workloads.iter().position(|w| w.name == name);
        let (Some(ten), Some(thousand)) = (sides(self, "fan-out-10"), sides(self, "fan-out-1000")) else {
            return;
        };
        let limits: Vec<Option<f64>> = self.workloads[ten]
            .sides
            .iter()
            .map(|side| Some(find(&side.figures, CPU_PER_DELIVERY)?.median))
            .collect();
        for (side, limit) in self.workloads[thousand].sides.iter_mut().zip(limits) {
            for figure in &mut side.figures {
                if let Some(limit) = limit
                    && figure.name == CPU_PER_DELIVERY
                {
                    figure.goal = Some(Goal::AtMost(limit));
                }
            }
        }
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        if self.is_quick {
            text.push_str(
                "A quick look: a tenth of everything. These figures say whether it works, not how fast.\n",
            );
        }
        for (letter, binaries) in ["A", "B"]
            .iter()
            .zip(&self.binaries)
            .take_while(|_| self.binaries.len() > 1)
        {
            let _ = writeln!(text, "{letter} is {}", binaries.display());
        }
        for workload in &self.workloads {
            let _ = writeln!(text, "\n{}: {}", workload.name, workload.about);
            match &workload.sides[..] {
                [only] => one_side(&mut text, only),
                [a, b] => two_sides(&mut text, a, b),
                _ => {}
            }
            for (index, side) in workload.sides.iter().enumerate() {
                remarks(&mut text, side, (workload.sides.len() > 1).then_some(index));
            }
        }
        text.push('\n');
        text.push_str(&self.summary());
        text
    }

    fn summary(&self) -> String {
        let mut text = String::new();
        // Goals are of Plumbline as it is, not of what it is compared with.
        let judged = self.workloads.iter().flat_map(|workload| {
            let figures = workload
                .sides
                .first()
                .map(|side| &side.figures[..])
                .unwrap_or_default();
            figures
                .iter()
                .filter_map(|figure| Some((workload.name, figure, figure.is_met()?)))
        });
        let floor = self
            .workloads
            .iter()
            .find(|workload| workload.name == "floor")
            .and_then(cost);
        if let Some(floor) = floor.filter(|floor| *floor > 0.0) {
            for workload in &self.workloads {
                if let Some(cost) = cost(workload).filter(|_| workload.name.starts_with("fan-out")) {
                    let ratio = cost / floor;
                    let _ = writeln!(text, "{} costs {ratio:.1} times the floor's CPU", workload.name);
                }
            }
        }
        let (met, missed): (Vec<_>, Vec<_>) = judged.partition(|(_, _, is_met)| *is_met);
        let _ = writeln!(text, "{} goals met, {} missed", met.len(), missed.len());
        for (workload, figure, _) in missed {
            let _ = writeln!(
                text,
                "  missed: {workload}: {} is {}, goal {}",
                figure.name,
                value(figure.median, figure.unit),
                goal_text(figure.goal, figure.unit)
            );
        }
        let _ = writeln!(text, "measured in {:.0} s on {} cores", self.seconds, self.cores);
        text
    }
}

/// What a delivery of a workload costs.
fn cost(workload: &WorkloadReport) -> Option<f64> {
    Some(find(&workload.sides.first()?.figures, CPU_PER_DELIVERY)?.median)
}

fn find<'a>(figures: &'a [Measured], name: &str) -> Option<&'a Measured> {
    figures.iter().find(|figure| figure.name == name)
}

fn one_side(text: &mut String, side: &Side) {
    for figure in &side.figures {
        let _ = writeln!(
            text,
            "  {:<NAME_WIDTH$}{:>14}{}  {}",
            name(figure),
            value(figure.median, figure.unit),
            range(figure),
            verdict(figure)
        );
    }
}

fn two_sides(text: &mut String, a: &Side, b: &Side) {
    let _ = writeln!(
        text,
        "  {:<NAME_WIDTH$}{:>14}{:>14}{:>8}  {:>16}",
        "", "A", "B", "B / A", "run by run"
    );
    for figure in &a.figures {
        let other = find(&b.figures, &figure.name);
        let _ = writeln!(
            text,
            "  {:<NAME_WIDTH$}{:>14}{:>14}{:>8}  {:>16}",
            name(figure),
            value(figure.median, figure.unit),
            other.map_or_else(|| "-".to_owned(), |b| value(b.median, b.unit)),
            other.map_or_else(|| "-".to_owned(), |b| ratio(figure, b)),
            other.map_or_else(String::new, |b| ratio_range(figure, b)),
        );
    }
}

/// B against A: the median of the runs that were made beside each other.
fn ratio(a: &Measured, b: &Measured) -> String {
    match median(&ratios(a, b)) {
        Some(ratio) => format!("{ratio:.3}"),
        None if a.runs == b.runs => "=".to_owned(),
        None => "-".to_owned(),
    }
}

/// A difference is one when all of these are on the same side of 1.
fn ratio_range(a: &Measured, b: &Measured) -> String {
    let ratios = ratios(a, b);
    let smallest = ratios.iter().copied().min_by(f64::total_cmp);
    let largest = ratios.iter().copied().max_by(f64::total_cmp);
    match smallest.zip(largest) {
        Some((smallest, largest)) if ratios.len() > 1 => format!("{smallest:.3} to {largest:.3}"),
        _ => String::new(),
    }
}

fn ratios(a: &Measured, b: &Measured) -> Vec<f64> {
    let pairs = a.runs.iter().zip(&b.runs);
    pairs.filter(|(a, _)| **a != 0.0).map(|(a, b)| b / a).collect()
}

fn remarks(text: &mut String, side: &Side, index: Option<usize>) {
    let whose = match index {
        Some(0) => "A: ",
        Some(_) => "B: ",
        None => "",
    };
    for failure in &side.failures {
        let _ = writeln!(text, "  {whose}FAILED: {failure}");
    }
    if side.lost > 0 {
        let _ = writeln!(text, "  {whose}LOST {} deliveries", side.lost);
    }
    for (run, noise) in side.noise.iter().enumerate() {
        let complaints = noise.complaints();
        if !complaints.is_empty() {
            let _ = writeln!(text, "  {whose}noisy, run {}: {}", run + 1, complaints.join("; "));
        }
    }
}

fn name(figure: &Measured) -> String {
    format!("{}{}", if figure.is_part { "  " } else { "" }, figure.name)
}

fn range(figure: &Measured) -> String {
    let smallest = figure.runs.iter().copied().min_by(f64::total_cmp);
    let largest = figure.runs.iter().copied().max_by(f64::total_cmp);
    match (smallest, largest) {
        (Some(smallest), Some(largest)) if figure.runs.len() > 1 => {
            format!(
                "  {:>20}",
                format!(
                    "{} to {}",
                    number(smallest, figure.unit),
                    number(largest, figure.unit)
                )
            )
        }
        _ => format!("  {:>20}", ""),
    }
}

fn verdict(figure: &Measured) -> String {
    let Some(is_met) = figure.is_met() else {
        return String::new();
    };
    let mut text = format!(
        "{:<6} goal {}",
        if is_met { "ok" } else { "MISSED" },
        goal_text(figure.goal, figure.unit)
    );
    if let Some(stretch) = figure.stretch {
        let reached = if stretch.is_met_by(figure.median) {
            "reached"
        } else {
            "not reached"
        };
        let _ = write!(
            text,
            ", stretch {} {reached}",
            goal_text(Some(stretch), figure.unit)
        );
    }
    text
}

fn goal_text(goal: Option<Goal>, unit: Unit) -> String {
    match goal {
        Some(Goal::AtLeast(least)) => format!(">= {}", value(least, unit)),
        Some(Goal::AtMost(most)) => format!("<= {}", value(most, unit)),
        None => String::new(),
    }
}

fn value(number_: f64, unit: Unit) -> String {
    let sign = unit.sign();
    let space = if sign.is_empty() { "" } else { " " };
    format!("{}{space}{sign}", number(number_, unit))
}

/// As many digits as mean something.
fn number(value: f64, unit: Unit) -> String {
    if value.is_nan() {
        return "none".to_owned();
    }
    let digits = match unit {
        Unit::Count | Unit::PerSecond | Unit::Bytes => 0,
        Unit::Microseconds | Unit::Megabytes | Unit::Seconds => 1,
        Unit::Milliseconds | Unit::Percent | Unit::Times => 2,
    };
    let plain = format!("{value:.digits$}");
    let (sign, unsigned) = match plain.strip_prefix('-') {
        Some(unsigned) => ("-", unsigned),
        None => ("", plain.as_str()),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{grouped}{point}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::{Figure, together};

    fn side(rate: f64, cpu: f64) -> Side {
        Side {
            figures: together(&[vec![
                Figure::new("delivered", rate, Unit::PerSecond)
                    .at_least(5_000.0)
                    .stretch(9_000.0),
                Figure::new(CPU_PER_DELIVERY, cpu, Unit::Microseconds).at_most(330.0),
            ]]),
            ..Side::default()
        }
    }

    fn report(workloads: Vec<(&'static str, Vec<Side>)>) -> Report {
        Report {
            started_at: 0,
            cores: 2,
            is_quick: false,
            binaries: workloads
                .first()
                .map(|(_, sides)| sides.iter().map(|_| "/x/release".into()).collect())
                .unwrap_or_default(),
            workloads: workloads
                .into_iter()
                .map(|(name, sides)| WorkloadReport {
                    name,
                    about: "something",
                    sides,
                })
                .collect(),
            seconds: 12.3,
        }
    }

    #[test]
    fn numbers_have_the_digits_that_mean_something() {
        for (value, unit, expected) in [
            (1_234_567.8, Unit::PerSecond, "1,234,568"),
            (999.4, Unit::Count, "999"),
            (1_000.0, Unit::Milliseconds, "1,000.00"),
            (0.126, Unit::Percent, "0.13"),
            (-1_234.5, Unit::Microseconds, "-1,234.5"),
            (f64::NAN, Unit::Times, "none"),
        ] {
            assert_eq!(number(value, unit), expected);
        }
    }

    #[test]
    fn a_table_says_what_was_met_and_what_was_missed() {
        let table = report(vec![("fan-out-1", vec![side(6_000.0, 400.0)])]).table();
        for expected in [
            "6,000 /s",
            "ok     goal >= 5,000 /s, stretch >= 9,000 /s not reached",
            "MISSED goal <= 330.0 us",
            "1 goals met, 1 missed",
            "missed: fan-out-1: CPU per delivery is 400.0 us, goal <= 330.0 us",
        ] {
            assert!(table.contains(expected), "{expected}: {table}");
        }
    }

    #[test]
    fn two_sides_are_compared_by_their_ratio() {
        let table = report(vec![(
            "fan-out-1",
            vec![side(4_000.0, 400.0), side(5_000.0, 300.0)],
        )])
        .table();
        assert!(table.contains("1.250") && table.contains("0.750"), "{table}");

        let runs = |values: [f64; 3]| {
            let runs = values.map(|value| vec![Figure::new("x", value, Unit::Count)]);
            together(&runs).pop().expect("one figure")
        };
        // Each run against the one beside it: the machine was half as fast in the second ones.
        let (a, b) = (runs([100.0, 50.0, 100.0]), runs([110.0, 60.0, 100.0]));
        assert_eq!(
            (ratio(&a, &b).as_str(), ratio_range(&a, &b).as_str()),
            ("1.100", "1.000 to 1.200")
        );
        let none = runs([0.0; 3]);
        assert_eq!(
            (ratio(&none, &none).as_str(), ratio(&none, &a).as_str()),
            ("=", "-")
        );
    }

    #[test]
    fn a_loss_or_a_failure_makes_a_report_unsound_and_a_missed_goal_does_not() {
        assert!(report(vec![("fan-out-1", vec![side(1.0, 9_000.0)])]).is_sound());
        let lossy = Side {
            lost: 1,
            ..side(9_000.0, 1.0)
        };
        let failed = Side {
            failures: vec!["it broke".to_owned()],
            ..Side::default()
        };
        for (side, word) in [(lossy, "LOST 1"), (failed, "FAILED: it broke")] {
            let report = report(vec![("fan-out-1", vec![side])]);
            assert!(!report.is_sound());
            assert!(report.table().contains(word));
        }
    }

    #[test]
    fn a_thousand_endpoints_are_measured_against_ten() {
        let mut report = report(vec![
            ("fan-out-10", vec![side(1.0, 90.0)]),
            ("fan-out-1000", vec![side(1.0, 95.0)]),
        ]);
        report.compare_fan_outs();
        let thousand = &report.workloads[1].sides[0].figures[1];
        assert_eq!(
            (thousand.goal, thousand.is_met()),
            (Some(Goal::AtMost(90.0)), Some(false))
        );
        assert_eq!(
            report.workloads[0].sides[0].figures[1].goal,
            Some(Goal::AtMost(330.0))
        );
    }
}
