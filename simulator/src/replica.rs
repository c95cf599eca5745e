//! One replica of an inference server: continuous batching with chunked prefill, a bounded KV-cache, and preemption
//! when it runs out, as vLLM does it.
//!
//! Time goes by forward passes. While nobody reads a prompt or waits for room, passes of one batch are taken together: an
//! arrival cuts them short at the end of the pass that it falls into.

use crate::profile::Profile;
use std::collections::VecDeque;

/// A request by its place in the run's list.
pub type Id = usize;

/// A sequence in work.
#[derive(Clone, Copy, Debug)]
struct Sequence {
    id: Id,
    /// Tokens of the prompt; after a preemption, with those that were generated before it.
    prompt: u64,
    /// Tokens of it that must still be read.
    unread: u64,
    /// Tokens still to be generated.
    left: u64,
    /// The first token is out.
    begun: bool,
    /// When it came.
    arrived: f64,
}

impl Sequence {
    fn decodes(&self) -> bool {
        self.unread == 0
    }
}

/// What a pass made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// The first token of a request.
    First(Id),
    /// The last one.
    Last(Id),
}

impl Made {
    /// Whose it is.
    pub fn id(self) -> Id {
        match self {
            Self::First(id) | Self::Last(id) => id,
        }
    }
}

/// Passes that are under way.
#[derive(Clone, Copy, Debug)]
struct Passes {
    began: f64,
    each: f64,
    count: u64,
}

impl Passes {
    fn end(&self) -> f64 {
        self.began + self.each * self.count as f64
    }
}

/// A replica.
#[derive(Clone, Debug)]
pub struct Replica {
    profile: Profile,
    waiting: VecDeque<Sequence>,
    running: Vec<Sequence>,
    passes: Option<Passes>,
    /// Tokens in the KV-cache.
    kv: u64,
    /// How much longer everything takes than the profile says.
    pub slowness: f64,
    /// Requests that were thrown out of the KV-cache, ever.
    pub preempted: u64,
    /// Seconds that requests waited until they were taken into a batch, of each that was taken.
    pub waits: Vec<f64>,
}

impl Replica {
    /// An idle one.
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            waiting: VecDeque::new(),
            running: Vec::new(),
            passes: None,
            kv: 0,
            slowness: 1.0,
            preempted: 0,
            waits: Vec::new(),
        }
    }

    /// Requests in work.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Requests that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Requests in work at most.
    pub fn max_running(&self) -> usize {
        self.profile.max_running
    }

    /// All of them.
    pub fn requests(&self) -> usize {
        self.running.len() + self.waiting.len()
    }

    /// KV-cache in use, a ratio.
    pub fn kv_cache(&self) -> f64 {
        self.kv as f64 / self.profile.kv_tokens as f64
    }

    /// Seconds until the first token of a prompt that comes now, after `coming` tokens of others that are on their way: what is
    /// to be read until then, and the passes that it takes. An estimate: who comes later is not known.
    pub fn first_token_after(&self, prompt: u64, coming: u64) -> f64 {
        let profile = &self.profile;
        let ahead = self.running.iter().map(|sequence| sequence.unread);
        let ahead = ahead.chain(self.waiting.iter().map(|sequence| sequence.unread));
        let tokens = (ahead.sum::<u64>() + coming + prompt) as f64;
        let decoding = self.running.len() as f64;
        let pass =
            profile.pass + profile.sequence * decoding + profile.context_token * self.kv as f64;
        let passes = (tokens / profile.chunk as f64).ceil() + 0.5;
        let read = tokens * profile.prompt_token
            + prompt as f64 * prompt as f64 / 2.0 * profile.prompt_square;
        // Without a free place, or room for the prompt, it waits until others are through.
        let free = profile.max_running as f64 - decoding - self.waiting.len() as f64;
        let short = (1.0 - free).max(0.0);
        let mut left: Vec<u64> = self.running.iter().map(|sequence| sequence.left).collect();
        left.sort_unstable();
        let turn = (short.ceil() as usize).min(left.len());
        let until = turn.checked_sub(1).and_then(|index| left.get(index));
        let queue = until.map_or(0.0, |left| *left as f64 * pass);
        (queue + passes * pass + read) * self.slowness
    }

    /// Seconds that reading a prompt takes from those who are in work: all of their passes are longer by them.
    pub fn takes(&self, prompt: u64) -> f64 {
        let tokens = prompt as f64;
        let profile = &self.profile;
        let read = tokens * profile.prompt_token + tokens * tokens / 2.0 * profile.prompt_square;
        read * self.running.len() as f64 * self.slowness
    }

    /// Takes a request in. Whatever passes are under way end with the one that is.
    pub fn arrive(&mut self, id: Id, prompt: u64, output: u64, now: f64) {
        self.waiting.push_back(Sequence {
            id,
            prompt,
            unread: prompt,
            left: output.max(1),
            begun: false,
            arrived: now,
        });
        if let Some(passes) = &mut self.passes {
            let under_way = ((now - passes.began) / passes.each).ceil().max(1.0) as u64;
            passes.count = passes.count.min(under_way);
        }
    }

    /// Everybody that it has, thrown out.
    pub fn die(&mut self) -> Vec<Id> {
        let lost = self.running.drain(..).chain(self.waiting.drain(..));
        let lost = lost.map(|sequence| sequence.id).collect();
        self.passes = None;
        self.kv = 0;
        lost
    }

    /// When the passes under way end, if any are.
    pub fn ends(&self) -> Option<f64> {
        self.passes.map(|passes| passes.end())
    }

    /// Begins the next passes, if there is something to do and none are under way.
    pub fn begin(&mut self, now: f64) {
        if self.passes.is_some() {
            return;
        }
        self.admit(now);
        if self.running.is_empty() {
            return;
        }
        let decoding = self.running.iter().filter(|sequence| sequence.decodes());
        let decoding = decoding.count() as u64;
        let budget = self.budget();
        let (mut chunk, mut square) = (0, 0.0);
        for sequence in self.running.iter().filter(|sequence| !sequence.decodes()) {
            let part = sequence.unread.min(budget - chunk);
            let before = (sequence.prompt - sequence.unread) as f64;
            square += part as f64 * (before + part as f64 / 2.0);
            chunk += part;
            if chunk == budget {
                break;
            }
        }
        let profile = &self.profile;
        let shortest = self.running.iter().map(|sequence| sequence.left).min();
        let room = self.profile.kv_tokens.saturating_sub(self.kv);
        let count = if chunk > 0 || (!self.waiting.is_empty() && self.has_place()) {
            1
        } else {
            let until_full = room.checked_div(decoding).unwrap_or(1).max(1);
            shortest.unwrap_or(1).min(until_full).max(1)
        };
        let context = self.kv as f64 + decoding as f64 * (count - 1) as f64 / 2.0;
        let each = profile.pass
            + profile.sequence * decoding as f64
            + profile.context_token * context
            + profile.prompt_token * chunk as f64
            + profile.prompt_square * square;
        self.passes = Some(Passes {
            began: now,
            each: each * self.slowness,
            count,
        });
    }

    /// Ends the passes under way: what they made.
    pub fn end(&mut self) -> Vec<Made> {
        let Some(passes) = self.passes.take() else {
            return Vec::new();
        };
        let mut budget = self.budget();
        let mut made = Vec::new();
        for sequence in &mut self.running {
            let tokens = if sequence.decodes() {
                passes.count
            } else {
                let part = sequence.unread.min(budget);
                budget -= part;
                sequence.unread -= part;
                self.kv += part;
                // The pass that reads the end of a prompt makes its first token.
                u64::from(sequence.decodes())
            };
            if tokens == 0 {
                continue;
            }
            if !sequence.begun {
                sequence.begun = true;
                made.push(Made::First(sequence.id));
            }
            let tokens = tokens.min(sequence.left);
            sequence.left -= tokens;
            sequence.prompt += tokens;
            self.kv += tokens;
            if sequence.left == 0 {
                made.push(Made::Last(sequence.id));
                self.kv = self.kv.saturating_sub(sequence.prompt);
            }
        }
        self.running.retain(|sequence| sequence.left > 0);
        self.preempt();
        made
    }

    fn has_place(&self) -> bool {
        let fits = |sequence: &Sequence| self.kv + sequence.prompt <= self.profile.kv_tokens;
        self.running.len() < self.profile.max_running && self.waiting.front().is_some_and(fits)
    }

    /// Takes in who waits, in their order, as long as there are a place, room for the prompt, and tokens of the next pass that
    /// nobody else reads.
    fn admit(&mut self, now: f64) {
        // Prompts that are being read will fill what they have not yet.
        let unread: u64 = self.running.iter().map(|sequence| sequence.unread).sum();
        let mut claimed = self.kv + unread;
        let mut budget = self.budget().saturating_sub(unread);
        while self.running.len() < self.profile.max_running && budget > 0 {
            let Some(next) = self.waiting.front().copied() else {
                return;
            };
            if claimed + next.prompt > self.profile.kv_tokens && !self.running.is_empty() {
                return;
            }
            claimed += next.prompt;
            budget = budget.saturating_sub(next.unread);
            self.waiting.pop_front();
            if !next.begun {
                self.waits.push(now - next.arrived);
            }
            self.running.push(next);
        }
    }

    /// Tokens of prompts that the next pass can read: those who decode come first.
    fn budget(&self) -> u64 {
        let decoding = self.running.iter().filter(|sequence| sequence.decodes());
        let decoding = decoding.count() as u64;
        self.profile.chunk.saturating_sub(decoding).max(1)
    }

    /// Throws the youngest out until the next pass fits; they read what they had once more.
    fn preempt(&mut self) {
        while self.running.len() > 1 && self.kv + self.running.len() as u64 > self.profile.kv_tokens
        {
            let Some(mut youngest) = self.running.pop() else {
                return;
            };
            self.kv = self.kv.saturating_sub(youngest.prompt - youngest.unread);
            youngest.unread = youngest.prompt;
            self.waiting.push_front(youngest);
            self.preempted += 1;
        }
    }
}
