//! Which faults strike, in which order and for how long: decided by the seed alone.

use std::collections::VecDeque;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;

/// How often a second fault strikes while the first one lasts.
const PAIR_CHANCE: f64 = 0.25;
/// How often the next fault comes before the system has recovered from the last one.
const NO_CALM_CHANCE: f64 = 0.2;
/// The calm before the next fault otherwise, in milliseconds.
const CALM_MS: std::ops::Range<u64> = 2_000..6_000;
/// How much later the second one strikes, in milliseconds.
const SECOND_AFTER_MS: std::ops::Range<u64> = 0..1_500;
/// A run of this length has time for long outages.
const LONG_RUN: Duration = Duration::from_secs(5 * 60);

/// What a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Victim {
    Api,
    Dispatcher,
    Broker,
    Database,
    Receiver,
}

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// `kill -9`, and started again.
    KillApi,
    /// SIGTERM, and started again.
    StopApi,
    /// SIGSTOP, and SIGCONT later.
    FreezeApi,
    /// `kill -9` of one, and started again.
    KillDispatcher,
    /// SIGTERM of one, and started again.
    StopDispatcher,
    /// SIGSTOP of one, and SIGCONT later.
    FreezeDispatcher,
    /// `kill -9` of all, and started again.
    KillDispatchers,
    /// `kill -9`, and started again.
    KillBroker,
    /// `kill -9`, and started again on an empty disk.
    WipeBroker,
    /// Its memory is short: publishers are blocked.
    BrokerMemory,
    /// Its disk is short: publishers are blocked.
    BrokerDisk,
    /// It refuses connections.
    RefuseBroker,
    /// Its connections are cut, several times.
    CutBroker,
    /// Its connections are cut in the middle of a frame.
    TearBroker,
    /// It falls silent.
    SilenceBroker,
    /// It is far away.
    DelayBroker,
    /// `kill -9`, and started again.
    KillDatabase,
    /// It refuses connections.
    RefuseDatabase,
    /// Its connections are cut, several times.
    CutDatabase,
    /// Its connections are cut in the middle of a message.
    TearDatabase,
    /// It falls silent.
    SilenceDatabase,
    /// It is far away.
    DelayDatabase,
    /// A table is locked until every pooled connection waits for it.
    LockTable,
    /// Lost for good, and its standby takes its place. Not in the bag: it happens once.
    FailOver,
    /// `kill -9` of the node of a cluster that leads a queue, and started again.
    KillLeader,
    /// `kill -9` of a node that follows, and started again.
    KillFollower,
    /// SIGTERM of one node after the other, each started again before the next, as in an update.
    RollBroker,
    /// A node is cut off from the others, who notice at once.
    CutOffNode,
    /// Nothing passes between a node and the others, for longer than they wait.
    SilenceNode,
    /// SIGSTOP of a node, and SIGCONT later.
    FreezeNode,
    /// `kill -9` of two nodes of three, and started again.
    LoseMajority,
    /// The receivers' clock is wrong: they believe no signature, and their `Date` is another.
    ReceiverClock,
    /// The receivers are gone.
    ReceiverDown,
}

impl Kind {
    /// Those that strike a cluster, and what uses it.
    pub(crate) const OF_A_CLUSTER: [Self; 12] = [
        Self::KillLeader,
        Self::KillFollower,
        Self::RollBroker,
        Self::CutOffNode,
        Self::SilenceNode,
        Self::FreezeNode,
        Self::LoseMajority,
        Self::CutBroker,
        Self::TearBroker,
        Self::KillApi,
        Self::KillDispatcher,
        Self::StopDispatcher,
    ];

    /// Those that may strike at any time, again and again.
    pub(crate) const ALL: [Self; 25] = [
        Self::KillApi,
        Self::StopApi,
        Self::FreezeApi,
        Self::KillDispatcher,
        Self::StopDispatcher,
        Self::FreezeDispatcher,
        Self::KillDispatchers,
        Self::KillBroker,
        Self::WipeBroker,
        Self::BrokerMemory,
        Self::BrokerDisk,
        Self::RefuseBroker,
        Self::CutBroker,
        Self::TearBroker,
        Self::SilenceBroker,
        Self::DelayBroker,
        Self::KillDatabase,
        Self::RefuseDatabase,
        Self::CutDatabase,
        Self::TearDatabase,
        Self::SilenceDatabase,
        Self::DelayDatabase,
        Self::LockTable,
        Self::ReceiverClock,
        Self::ReceiverDown,
    ];

    /// What it strikes.
    pub(crate) fn victim(self) -> Victim {
        match self {
            Self::KillApi | Self::StopApi | Self::FreezeApi => Victim::Api,
            Self::KillDispatcher | Self::StopDispatcher | Self::FreezeDispatcher | Self::KillDispatchers => {
                Victim::Dispatcher
            }
            Self::KillBroker
            | Self::WipeBroker
            | Self::BrokerMemory
            | Self::BrokerDisk
            | Self::RefuseBroker
            | Self::CutBroker
            | Self::TearBroker
            | Self::SilenceBroker
            | Self::DelayBroker
            | Self::KillLeader
            | Self::KillFollower
            | Self::RollBroker
            | Self::CutOffNode
            | Self::SilenceNode
            | Self::FreezeNode
            | Self::LoseMajority => Victim::Broker,
            Self::KillDatabase
            | Self::RefuseDatabase
            | Self::CutDatabase
            | Self::TearDatabase
            | Self::SilenceDatabase
            | Self::DelayDatabase
            | Self::LockTable
            | Self::FailOver => Victim::Database,
            Self::ReceiverClock | Self::ReceiverDown => Victim::Receiver,
        }
    }

    /// How long it lasts at least and at most, in seconds: what is killed stays dead, what is cut off stays away.
    fn seconds(self, run: Run) -> (f64, f64) {
        let long = run == Run::Long;
        match self {
            Self::KillApi | Self::StopApi | Self::KillDispatcher | Self::StopDispatcher | Self::FailOver => {
                (0.0, 2.0)
            }
            Self::RollBroker => (0.0, 2.0),
            Self::KillDispatchers
            | Self::KillBroker
            | Self::WipeBroker
            | Self::KillLeader
            | Self::KillFollower => (0.0, if long { 10.0 } else { 3.0 }),
            Self::CutOffNode | Self::LoseMajority => (4.0, if long { 30.0 } else { 10.0 }),
            // Longer than a node waits for another; clients wait for 20 s.
            Self::SilenceNode => (18.0, if long { 40.0 } else { 24.0 }),
            Self::FreezeNode => (4.0, if long { 40.0 } else { 26.0 }),
            Self::KillDatabase => (0.0, if long { 20.0 } else { 4.0 }),
            Self::FreezeApi | Self::FreezeDispatcher => (1.0, if long { 25.0 } else { 6.0 }),
            Self::BrokerMemory | Self::BrokerDisk => (4.0, if long { 15.0 } else { 6.0 }),
            Self::RefuseBroker | Self::RefuseDatabase => (2.0, if long { 30.0 } else { 8.0 }),
            Self::CutBroker | Self::CutDatabase | Self::TearBroker | Self::TearDatabase => (1.0, 4.0),
            Self::SilenceBroker | Self::SilenceDatabase => (2.0, if long { 40.0 } else { 9.0 }),
            Self::DelayBroker | Self::DelayDatabase => (3.0, 8.0),
            Self::LockTable => (3.0, if long { 25.0 } else { 8.0 }),
            // Shorter than the schedule: a receiver that takes everything must have its chance.
            Self::ReceiverClock | Self::ReceiverDown => (2.0, 8.0),
        }
    }

    /// What happens, in a few words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::KillApi => "kill -9 of the API",
            Self::StopApi => "SIGTERM of the API",
            Self::FreezeApi => "API frozen",
            Self::KillDispatcher => "kill -9 of a dispatcher",
            Self::StopDispatcher => "SIGTERM of a dispatcher",
            Self::FreezeDispatcher => "dispatcher frozen",
            Self::KillDispatchers => "kill -9 of all dispatchers",
            Self::KillBroker => "kill -9 of RabbitMQ",
            Self::WipeBroker => "RabbitMQ lost its disk",
            Self::BrokerMemory => "RabbitMQ short of memory",
            Self::BrokerDisk => "RabbitMQ short of disk",
            Self::RefuseBroker => "RabbitMQ refuses connections",
            Self::CutBroker => "connections to RabbitMQ cut",
            Self::TearBroker => "connections to RabbitMQ torn in a frame",
            Self::SilenceBroker => "RabbitMQ silent",
            Self::DelayBroker => "RabbitMQ far away",
            Self::KillDatabase => "kill -9 of PostgreSQL",
            Self::RefuseDatabase => "PostgreSQL refuses connections",
            Self::CutDatabase => "connections to PostgreSQL cut",
            Self::TearDatabase => "connections to PostgreSQL torn in a message",
            Self::SilenceDatabase => "PostgreSQL silent",
            Self::DelayDatabase => "PostgreSQL far away",
            Self::LockTable => "pool exhausted by a lock",
            Self::FailOver => "PostgreSQL lost, its standby promoted",
            Self::KillLeader => "kill -9 of a queue's leader",
            Self::KillFollower => "kill -9 of a queue's follower",
            Self::RollBroker => "RabbitMQ nodes restarted one by one",
            Self::CutOffNode => "RabbitMQ node cut off from the others",
            Self::SilenceNode => "RabbitMQ node silent to the others",
            Self::FreezeNode => "RabbitMQ node frozen",
            Self::LoseMajority => "kill -9 of two RabbitMQ nodes of three",
            Self::ReceiverClock => "receivers' clock wrong",
            Self::ReceiverDown => "receivers down",
        }
    }
}

/// How much time there is for long outages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Run {
    Short,
    Long,
}

impl Run {
    pub(crate) fn of(length: Duration) -> Self {
        if length >= LONG_RUN {
            Self::Long
        } else {
            Self::Short
        }
    }
}

/// A fault to come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Strike {
    pub(crate) kind: Kind,
    /// After the step's beginning.
    pub(crate) after: Duration,
    /// How long it lasts.
    pub(crate) lasts: Duration,
    /// Chance for whoever strikes: which dispatcher, which table.
    pub(crate) chance: u32,
}

/// What strikes together, and what follows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    /// One, or two with different victims.
    pub(crate) strikes: Vec<Strike>,
    pub(crate) then: Then,
}

/// What comes between two steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Nothing: the next one strikes a system that is still recovering.
    AtOnce,
    /// Recovery, and then calm for this long.
    Calm(Duration),
}

/// What happens in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scenario {
    /// Everything that may strike at any time, as the seed has it, for as long as was asked for.
    Random,
    /// PostgreSQL fails over to its standby, and the processes are killed afterwards, in an order of the seed's.
    Failover,
    /// RabbitMQ has three nodes, which are killed, restarted, frozen and cut off, as the seed has it, for as long as was
    /// asked for.
    Cluster,
}

impl Scenario {
    /// Its steps; only those of a failover have an end.
    pub(crate) fn steps(self, seed: u64, run: Run) -> Box<dyn Iterator<Item = Step>> {
        let kinds: &'static [Kind] = match self {
            Self::Random | Self::Failover => &Kind::ALL,
            Self::Cluster => &Kind::OF_A_CLUSTER,
        };
        let mut plan = Plan::new(kinds, seed, run);
        match self {
            Self::Random | Self::Cluster => Box::new(plan),
            Self::Failover => {
                let mut after = [Kind::KillApi, Kind::KillDispatchers, Kind::FreezeDispatcher];
                after.shuffle(&mut plan.random);
                let kinds = [Kind::FailOver].into_iter().chain(after);
                Box::new(kinds.map(move |kind| Step {
                    strikes: vec![plan.strike(kind, Duration::ZERO)],
                    then: Then::Calm(Duration::from_millis(CALM_MS.start)),
                }))
            }
        }
    }
}

/// The steps of a seed, without end.
#[derive(Debug)]
pub(crate) struct Plan {
    kinds: &'static [Kind],
    random: StdRng,
    run: Run,
    /// Each kind comes once before any comes again, so that a short run sees many.
    bag: VecDeque<Kind>,
}

impl Plan {
    pub(crate) fn new(kinds: &'static [Kind], seed: u64, run: Run) -> Self {
        Self {
            kinds,
            random: StdRng::seed_from_u64(seed),
            run,
            bag: VecDeque::new(),
        }
    }

    /// The next kind that strikes none of these.
    fn draw(&mut self, struck: Option<Victim>) -> Option<Kind> {
        if self.bag.is_empty() {
            let mut all = self.kinds.to_vec();
            all.shuffle(&mut self.random);
            self.bag.extend(all);
        }
        let at = self.bag.iter().position(|kind| Some(kind.victim()) != struck)?;
        self.bag.remove(at)
    }

    fn strike(&mut self, kind: Kind, after: Duration) -> Strike {
        let (least, most) = kind.seconds(self.run);
        Strike {
            kind,
            after,
            lasts: Duration::from_secs_f64(self.random.random_range(least..most)),
            chance: self.random.random(),
        }
    }
}

impl Iterator for Plan {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let first = self.draw(None)?;
        let mut strikes = vec![self.strike(first, Duration::ZERO)];
        if self.random.random_bool(PAIR_CHANCE)
            && let Some(second) = self.draw(Some(first.victim()))
        {
            let after = Duration::from_millis(self.random.random_range(SECOND_AFTER_MS));
            strikes.push(self.strike(second, after));
        }
        let then = if self.random.random_bool(NO_CALM_CHANCE) {
            Then::AtOnce
        } else {
            Then::Calm(Duration::from_millis(self.random.random_range(CALM_MS)))
        };
        Some(Step { strikes, then })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn steps(seed: u64, run: Run) -> Vec<Step> {
        Plan::new(&Kind::ALL, seed, run).take(200).collect()
    }

    #[test]
    fn a_seed_is_one_order_and_another_seed_another() {
        assert_eq!(steps(7, Run::Short), steps(7, Run::Short));
        assert_ne!(steps(7, Run::Short), steps(8, Run::Short));
    }

    #[test]
    fn every_kind_strikes_soon_and_two_at_once_have_different_victims() {
        for (seed, kinds) in (0..50).flat_map(|seed| [(seed, &Kind::ALL[..]), (seed, &Kind::OF_A_CLUSTER)]) {
            let steps: Vec<Step> = Plan::new(kinds, seed, Run::Short).take(200).collect();
            let soon: HashSet<Kind> = steps
                .iter()
                .flat_map(|step| &step.strikes)
                .take(kinds.len() * 2)
                .map(|strike| strike.kind)
                .collect();
            assert_eq!(soon.len(), kinds.len(), "seed {seed}");
            for step in &steps {
                let victims: HashSet<Victim> =
                    step.strikes.iter().map(|strike| strike.kind.victim()).collect();
                assert_eq!(victims.len(), step.strikes.len(), "{step:?}");
            }
        }
    }

    #[test]
    fn a_receiver_is_never_away_for_longer_than_the_schedule_and_long_runs_have_long_outages() {
        let longest = |run, kind: Kind| {
            let strikes = steps(1, run).into_iter().flat_map(|step| step.strikes);
            strikes
                .filter(|strike| strike.kind == kind)
                .map(|strike| strike.lasts)
                .max()
        };
        for run in [Run::Short, Run::Long] {
            assert!(longest(run, Kind::ReceiverDown) < Some(Duration::from_secs(8)));
        }
        assert!(longest(Run::Short, Kind::RefuseDatabase) < Some(Duration::from_secs(8)));
        assert!(longest(Run::Long, Kind::RefuseDatabase) > Some(Duration::from_secs(15)));
    }
}
