//! One inference server, modelled on vLLM: continuous batching, chunked prefill, a bounded KV cache, and preemption when the
//! cache is full.
//!
//! Time advances by forward passes. While no sequence prefills and none queue_times for admission, identical passes are simulated as
//! one group. An arrival ends the group after the pass in progress.

use crate::profile::Profile;
use std::collections::VecDeque;

/// Index of a request in the case's list.
pub type Id = usize;

/// A sequence in the batch or in the queue.
#[derive(Clone, Copy, Debug)]
struct Sequence {
    id: Id,
    /// Tokens of context: the prompt and the output so far.
    prompt: u64,
    /// Tokens of context that are not in the KV cache yet.
    prefill_left: u64,
    /// Output tokens still to generate.
    output_left: u64,
    /// The first output token was generated.
    has_first_token: bool,
    /// Arrival time, in seconds.
    arrived: f64,
}

impl Sequence {
    fn is_decoding(&self) -> bool {
        self.prefill_left == 0
    }
}

/// A token that a forward pass generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenEvent {
    /// First token of a request.
    First(Id),
    /// Last token of a request.
    Last(Id),
}

impl TokenEvent {
    /// The request.
    pub fn id(self) -> Id {
        match self {
            Self::First(id) | Self::Last(id) => id,
        }
    }
}

/// A group of identical forward passes in progress.
#[derive(Clone, Copy, Debug)]
struct PassGroup {
    started: f64,
    pass_seconds: f64,
    count: u64,
}

impl PassGroup {
    fn end(&self) -> f64 {
        self.started + self.pass_seconds * self.count as f64
    }
}

/// An inference server.
#[derive(Clone, Debug)]
pub struct Replica {
    profile: Profile,
    waiting: VecDeque<Sequence>,
    running: Vec<Sequence>,
    group: Option<PassGroup>,
    /// Tokens in the KV cache.
    kv_used: u64,
    /// Factor on the profile's pass times.
    pub slowdown: f64,
    /// Number of preemptions.
    pub preemptions: u64,
    /// Queue time of each admitted request since the last scrape, in seconds.
    pub queue_times: Vec<f64>,
}

impl Replica {
    /// An idle server.
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            waiting: VecDeque::new(),
            running: Vec::new(),
            group: None,
            kv_used: 0,
            slowdown: 1.0,
            preemptions: 0,
            queue_times: Vec::new(),
        }
    }

    /// Requests in the batch.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Requests in the queue.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Largest batch, in requests.
    pub fn max_running(&self) -> usize {
        self.profile.max_running
    }

    /// Requests in the batch and in the queue.
    pub fn requests(&self) -> usize {
        self.running.len() + self.waiting.len()
    }

    /// KV-cache utilization, 0 to 1.
    pub fn kv_cache(&self) -> f64 {
        self.kv_used as f64 / self.profile.kv_tokens as f64
    }

    /// Estimated time to the first token, in seconds, of a prompt that arrives now behind `in_transit` prompt tokens still on the
    /// network. Later arrivals are not considered.
    pub fn first_token_after(&self, prompt: u64, in_transit: u64) -> f64 {
        let profile = &self.profile;
        let ahead = self.running.iter().map(|sequence| sequence.prefill_left);
        let ahead = ahead.chain(self.waiting.iter().map(|sequence| sequence.prefill_left));
        let tokens = (ahead.sum::<u64>() + in_transit + prompt) as f64;
        let decoding = self.running.len() as f64;
        let pass = profile.pass
            + profile.sequence * decoding
            + profile.context_token * self.kv_used as f64;
        let passes = (tokens / profile.chunk as f64).ceil() + 0.5;
        let read = tokens * profile.prompt_token
            + prompt as f64 * prompt as f64 / 2.0 * profile.prompt_square;
        // Without a free batch slot the prompt waits until other sequences finish.
        let free = profile.max_running as f64 - decoding - self.waiting.len() as f64;
        let short = (1.0 - free).max(0.0);
        let mut left: Vec<u64> = self
            .running
            .iter()
            .map(|sequence| sequence.output_left)
            .collect();
        left.sort_unstable();
        let turn = (short.ceil() as usize).min(left.len());
        let until = turn.checked_sub(1).and_then(|index| left.get(index));
        let queue = until.map_or(0.0, |left| *left as f64 * pass);
        (queue + passes * pass + read) * self.slowdown
    }

    /// Total delay of the running sequences caused by the prefill of a prompt, in seconds.
    pub fn prefill_delay_to_others(&self, prompt: u64) -> f64 {
        let tokens = prompt as f64;
        let profile = &self.profile;
        let read = tokens * profile.prompt_token + tokens * tokens / 2.0 * profile.prompt_square;
        read * self.running.len() as f64 * self.slowdown
    }

    /// Adds a request to the queue. The group of passes in progress ends after the current pass.
    pub fn enqueue(&mut self, id: Id, prompt: u64, output: u64, now: f64) {
        self.waiting.push_back(Sequence {
            id,
            prompt,
            prefill_left: prompt,
            output_left: output.max(1),
            has_first_token: false,
            arrived: now,
        });
        if let Some(group) = &mut self.group {
            let passes = ((now - group.started) / group.pass_seconds).ceil().max(1.0) as u64;
            group.count = group.count.min(passes);
        }
    }

    /// Drops all requests and returns them.
    pub fn fail(&mut self) -> Vec<Id> {
        let lost = self.running.drain(..).chain(self.waiting.drain(..));
        let lost = lost.map(|sequence| sequence.id).collect();
        self.group = None;
        self.kv_used = 0;
        lost
    }

    /// End of the passes in progress, in seconds; `None` while idle.
    pub fn passes_end(&self) -> Option<f64> {
        self.group.map(|group| group.end())
    }

    /// Starts the next passes if there is work and no pass is in progress.
    pub fn start_passes(&mut self, now: f64) {
        if self.group.is_some() {
            return;
        }
        self.admit(now);
        if self.running.is_empty() {
            return;
        }
        let decoding = self
            .running
            .iter()
            .filter(|sequence| sequence.is_decoding());
        let decoding = decoding.count() as u64;
        let budget = self.prefill_budget();
        let (mut chunk, mut square) = (0, 0.0);
        for sequence in self
            .running
            .iter()
            .filter(|sequence| !sequence.is_decoding())
        {
            let part = sequence.prefill_left.min(budget - chunk);
            let before = (sequence.prompt - sequence.prefill_left) as f64;
            square += part as f64 * (before + part as f64 / 2.0);
            chunk += part;
            if chunk == budget {
                break;
            }
        }
        let profile = &self.profile;
        let shortest = self
            .running
            .iter()
            .map(|sequence| sequence.output_left)
            .min();
        let room = self.profile.kv_tokens.saturating_sub(self.kv_used);
        let count = if chunk > 0 || (!self.waiting.is_empty() && self.can_admit()) {
            1
        } else {
            let until_full = room.checked_div(decoding).unwrap_or(1).max(1);
            shortest.unwrap_or(1).min(until_full).max(1)
        };
        let context = self.kv_used as f64 + decoding as f64 * (count - 1) as f64 / 2.0;
        let each = profile.pass
            + profile.sequence * decoding as f64
            + profile.context_token * context
            + profile.prompt_token * chunk as f64
            + profile.prompt_square * square;
        self.group = Some(PassGroup {
            started: now,
            pass_seconds: each * self.slowdown,
            count,
        });
    }

    /// Finishes the passes in progress and returns the tokens of interest.
    pub fn finish_passes(&mut self) -> Vec<TokenEvent> {
        let Some(group) = self.group.take() else {
            return Vec::new();
        };
        let mut budget = self.prefill_budget();
        let mut events = Vec::new();
        for sequence in &mut self.running {
            let tokens = if sequence.is_decoding() {
                group.count
            } else {
                let part = sequence.prefill_left.min(budget);
                budget -= part;
                sequence.prefill_left -= part;
                self.kv_used += part;
                // The pass that prefills the end of a prompt generates its first token.
                u64::from(sequence.is_decoding())
            };
            if tokens == 0 {
                continue;
            }
            if !sequence.has_first_token {
                sequence.has_first_token = true;
                events.push(TokenEvent::First(sequence.id));
            }
            let tokens = tokens.min(sequence.output_left);
            sequence.output_left -= tokens;
            sequence.prompt += tokens;
            self.kv_used += tokens;
            if sequence.output_left == 0 {
                events.push(TokenEvent::Last(sequence.id));
                self.kv_used = self.kv_used.saturating_sub(sequence.prompt);
            }
        }
        self.running.retain(|sequence| sequence.output_left > 0);
        self.preempt();
        events
    }

    fn can_admit(&self) -> bool {
        let fits = |sequence: &Sequence| self.kv_used + sequence.prompt <= self.profile.kv_tokens;
        self.running.len() < self.profile.max_running && self.waiting.front().is_some_and(fits)
    }

    /// Admits queued requests in order while there are a free batch slot, KV-cache room for the prompt, and prefill budget in the
    /// next pass.
    fn admit(&mut self, now: f64) {
        // Admitted prompts reserve the room for their remaining prefill.
        let prefill_left: u64 = self
            .running
            .iter()
            .map(|sequence| sequence.prefill_left)
            .sum();
        let mut claimed = self.kv_used + prefill_left;
        let mut budget = self.prefill_budget().saturating_sub(prefill_left);
        while self.running.len() < self.profile.max_running && budget > 0 {
            let Some(next) = self.waiting.front().copied() else {
                return;
            };
            if claimed + next.prompt > self.profile.kv_tokens && !self.running.is_empty() {
                return;
            }
            claimed += next.prompt;
            budget = budget.saturating_sub(next.prefill_left);
            self.waiting.pop_front();
            if !next.has_first_token {
                self.queue_times.push(now - next.arrived);
            }
            self.running.push(next);
        }
    }

    /// Prompt tokens that the next pass can prefill. Decoding sequences take their tokens first.
    fn prefill_budget(&self) -> u64 {
        let decoding = self
            .running
            .iter()
            .filter(|sequence| sequence.is_decoding());
        let decoding = decoding.count() as u64;
        self.profile.chunk.saturating_sub(decoding).max(1)
    }

    /// Preempts the youngest sequences until the next pass fits into the KV cache. They prefill again later.
    fn preempt(&mut self) {
        while self.running.len() > 1
            && self.kv_used + self.running.len() as u64 > self.profile.kv_tokens
        {
            let Some(mut youngest) = self.running.pop() else {
                return;
            };
            self.kv_used = self
                .kv_used
                .saturating_sub(youngest.prompt - youngest.prefill_left);
            youngest.prefill_left = youngest.prompt;
            self.waiting.push_front(youngest);
            self.preemptions += 1;
        }
    }
}
