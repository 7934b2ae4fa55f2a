//! The whole log: opened, worked on, maintained, closed. What it holds is held against the models of its partitions.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stratalog::storage::sim::Sim;
use stratalog::{
    Compression, Error, ErrorKind, Log, Maintenance, ManualClock, Result, Timestamp, TopicOptions,
};

use super::model::Model;
use super::step::Step;
use super::subject::Subject;

/// When the clock starts.
const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// How a log is made.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) topics: Vec<TopicSetup>,
    pub(crate) max_open_files: u32,
    pub(crate) eyes: Eyes,
}

/// How well the checks see: some are planted to be blind, and must be found out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Eyes {
    Open,
    /// They miss the last batch of a partition.
    MissTheLast,
}

#[derive(Clone, Debug)]
pub(crate) struct TopicSetup {
    pub(crate) name: String,
    pub(crate) partitions: u32,
    pub(crate) options: TopicOptions,
    /// Of the options: how old records may get, and how many bytes stay.
    pub(crate) keeps: Keeps,
    /// Of the batches that are sent ready-made.
    pub(crate) codec: Compression,
}

/// What retention leaves; nothing is dropped where there is no bound.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Keeps {
    pub(crate) time: Option<Duration>,
    pub(crate) bytes: Option<u64>,
}

/// What happened since the promises were made: it decides which of them count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Since {
    /// Whatever is found is held against what may be there at all.
    Anything,
    PowerCut,
    /// The process was killed, or the log was closed.
    Killed,
}

impl Since {
    fn must(self, model: &Model) -> u64 {
        match self {
            Self::Anything => 0,
            Self::PowerCut => model.durable,
            Self::Killed => model.kept,
        }
    }
}

/// An open log and what it has promised so far.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) sim: Sim,
    pub(crate) setup: Setup,
    pub(crate) subjects: Vec<Subject>,
    pub(crate) log: Option<Log>,
    clock: Arc<ManualClock>,
}

impl Bench {
    pub(crate) fn new(sim: Sim, setup: &Setup) -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let mut subjects = Vec::new();
        for topic in &setup.topics {
            for index in 0..topic.partitions {
                let number = subjects.len() as u64;
                let clock = Arc::clone(&clock);
                subjects.push(Subject::new(
                    number,
                    topic,
                    index,
                    setup.eyes,
                    clock,
                    sim.clone(),
                ));
            }
        }
        Self {
            sim,
            setup: setup.clone(),
            subjects,
            log: None,
            clock,
        }
    }

    /// A bench on another disk that remembers the same promises.
    pub(crate) fn after(&self, sim: Sim) -> Self {
        let mut bench = Self::new(sim, &self.setup);
        bench.clock.set_wall(Timestamp::from(self.now()));
        for (subject, before) in bench.subjects.iter_mut().zip(&self.subjects) {
            subject.remember(before);
        }
        bench
    }

    fn now(&self) -> std::time::SystemTime {
        stratalog::Clock::now(&*self.clock)
    }

    /// Opens the log and makes its topics; what the open shows is held against the models, which then know it.
    pub(crate) fn open(&mut self, since: Since) -> Result<()> {
        let log = Log::builder(Path::new("/log"))
            .storage(Arc::new(self.sim.clone()))
            .clock(self.clock.clone())
            .maintenance(Maintenance::Manual)
            .max_open_files(self.setup.max_open_files)
            .open()?;
        let report = log.recovery().clone();
        assert!(
            !report.was_adopted(),
            "nobody else wrote: {report}{}",
            self.story()
        );
        for partition in report.partitions() {
            assert!(
                partition.gaps().is_empty(),
                "a crash is no damage: {partition}{}",
                self.story()
            );
        }
        self.log = Some(log.clone());
        for topic in &self.setup.topics {
            let is_there = (log.topics().iter()).any(|t| t.name().as_str() == topic.name);
            let mut promised = self.subjects.iter().filter(|s| s.topic == topic.name);
            assert!(
                is_there || promised.all(|subject| !subject.model.has_topic),
                "the topic {} is gone{}",
                topic.name,
                self.story()
            );
            let opened = match is_there {
                true => log.topic(&topic.name)?,
                false => {
                    let options = topic.options.clone().partitions(topic.partitions);
                    log.create_topic(&topic.name, options)?
                }
            };
            for subject in self.subjects.iter_mut().filter(|s| s.topic == topic.name) {
                let name = format!("{}-{}", subject.topic, subject.index);
                let reports = report.partitions();
                let of_it = reports.iter().find(|p| p.name().to_string() == name);
                let is_pending = of_it.is_some_and(|report| report.copy_pending().is_some());
                subject.model.has_topic = true;
                let must = since.must(&subject.model);
                subject.opened(opened.partition(subject.index)?, is_pending, must)?;
            }
        }
        Ok(())
    }

    fn story(&self) -> String {
        self.subjects.iter().map(Subject::story).collect()
    }

    /// Opens, and takes the steps of the first partition until one fails; the step and its error.
    pub(crate) fn run_until_error(&mut self, steps: &[Step]) -> Option<(usize, Error)> {
        if let Err(error) = self.open(Since::Anything) {
            return Some((0, error));
        }
        for (number, step) in steps.iter().enumerate() {
            if let Err(error) = self.step(0, *step) {
                return Some((number + 1, error));
            }
        }
        None
    }

    /// One step on one partition, or on all of them. What it promised is in the models afterwards, even when it fails.
    pub(crate) fn step(&mut self, subject: usize, step: Step) -> Result<()> {
        self.clock.advance(Duration::from_millis(150));
        match step {
            Step::Maintain { seconds } => self.maintain(seconds),
            Step::Reopen => self.reopen(),
            step => self.subjects[subject].step(step),
        }
    }

    fn maintain(&mut self, seconds: u64) -> Result<()> {
        self.clock.advance(Duration::from_secs(seconds));
        for subject in &mut self.subjects {
            subject.before_retention();
        }
        let log = self.log.as_ref().expect("opened");
        let done = log.maintain(Duration::from_secs(1));
        for subject in &mut self.subjects {
            subject.after_retention();
            subject.note_durable();
        }
        done
    }

    fn reopen(&mut self) -> Result<()> {
        self.close()?;
        self.open(Since::Killed)
    }

    /// What an open that failed half-way has opened.
    pub(crate) fn let_go(&mut self) {
        self.subjects.iter_mut().for_each(Subject::let_go);
        self.log = None;
    }

    /// Closes; when that succeeds, everything is durable.
    pub(crate) fn close(&mut self) -> Result<()> {
        for subject in &mut self.subjects {
            subject.let_go();
        }
        let closed = self.log.take().expect("opened").close();
        if closed.is_ok() {
            for subject in &mut self.subjects {
                subject.model.durable = subject.model.kept;
            }
        }
        closed
    }

    /// Whether a failing disk may answer so.
    pub(crate) fn check_kind(error: &Error) {
        let is_typed = matches!(
            error.kind(),
            ErrorKind::Io | ErrorKind::Full | ErrorKind::Failed | ErrorKind::Closed
        );
        assert!(is_typed, "{error} is no answer to a failing disk");
    }
}
