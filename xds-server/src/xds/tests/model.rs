//! Random conversations between a stream and a correct client, over queues in which messages cross. An independent
//! observer checks every response. In the end the client must have what is published.

mod client;
mod message;
mod observer;

use super::client::resource;
use crate::xds::resource_type::ResourceType;
use crate::xds::resources::Resources;
use crate::xds::status::Wire;
use crate::xds::stream::Stream;
use crate::xds::subscription::Push;
use client::Client;
use message::{Request, Response, say, wire_form};
use observer::Observer;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

const KINDS: [ResourceType; 5] = [
    ResourceType::Cluster,
    ResourceType::Endpoint,
    ResourceType::Listener,
    ResourceType::Route,
    ResourceType::Secret,
];
const NAMES: [&str; 3] = ["a", "b", "c"];

/// Names and versions.
type Content = BTreeMap<String, String>;
/// By index of [`KINDS`].
type State = [Content; 5];

fn index(kind: ResourceType) -> usize {
    KINDS.iter().position(|each| *each == kind).unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Publish(State),
    Subscribe(ResourceType, &'static str),
    Unsubscribe(ResourceType, &'static str),
    /// SotW: a request without a nonce in the middle of a stream.
    Again(ResourceType),
    /// A request with an unknown nonce.
    Stale(ResourceType),
    ToServer,
    ToClient {
        accept: bool,
    },
    Reconnect,
}

fn state() -> impl Strategy<Value = State> {
    let version = prop_oneof![Just(None), Just(Some("1")), Just(Some("2"))];
    vec(version, KINDS.len() * NAMES.len()).prop_map(|versions| {
        let mut state = State::default();
        for (place, version) in versions.into_iter().enumerate() {
            let (kind, name) = (place / NAMES.len(), NAMES[place % NAMES.len()]);
            state[kind].extend(version.map(|version| (name.to_owned(), version.to_owned())));
        }
        state
    })
}

fn step() -> impl Strategy<Value = Step> {
    let kind = || proptest::sample::select(KINDS.to_vec());
    let name = || proptest::sample::select(NAMES.to_vec());
    prop_oneof![
        3 => state().prop_map(Step::Publish),
        4 => (kind(), name()).prop_map(|(kind, name)| Step::Subscribe(kind, name)),
        2 => (kind(), name()).prop_map(|(kind, name)| Step::Unsubscribe(kind, name)),
        1 => kind().prop_map(Step::Again),
        1 => kind().prop_map(Step::Stale),
        12 => Just(Step::ToServer),
        12 => (0..6).prop_map(|dice| Step::ToClient { accept: dice > 0 }),
        1 => Just(Step::Reconnect),
    ]
}

struct World {
    wire: Wire,
    stream: Stream,
    client: Client,
    observer: Observer,
    to_server: VecDeque<Request>,
    to_client: VecDeque<Response>,
    /// Whether publications share what has not changed, as those of the control plane do.
    shares: bool,
    published: Resources,
}

impl World {
    fn new(wire: Wire, shares: bool) -> Self {
        Self {
            shares,
            published: Resources::default(),
            wire,
            stream: Stream::new(wire),
            client: Client::new(wire),
            observer: Observer::new(wire),
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Publish(state) => self.publish(&state),
            Step::Subscribe(kind, name) => self.to_server.extend(self.client.subscribe(kind, name)),
            Step::Unsubscribe(kind, name) => {
                self.to_server.extend(self.client.unsubscribe(kind, name));
            }
            Step::Again(kind) => self.to_server.extend(self.client.ask_again(kind)),
            Step::Stale(kind) => self.to_server.extend(self.client.stale(kind)),
            Step::ToServer => self.server_reads(),
            Step::ToClient { accept } => self.client_reads(accept),
            Step::Reconnect => self.reconnect(),
        }
    }

    fn publish(&mut self, state: &State) {
        let mut resources = Resources::default();
        for kind in KINDS {
            for (name, version) in &state[index(kind)] {
                let before = self.published.get(kind, name).filter(|_| self.shares);
                match before.filter(|before| *before.version == **version) {
                    Some(same) => resources.share(kind, Arc::clone(same)),
                    None => {
                        resources.insert(kind, name.as_str(), resource(kind, name, version));
                    }
                }
            }
        }
        if self.shares {
            resources.share_unchanged_types(&self.published);
        }
        self.published = resources.clone();
        self.observer.published(state);
        let answers = self.stream.update(Arc::new(resources));
        self.send(answers);
    }

    fn server_reads(&mut self) {
        let Some(request) = self.to_server.pop_front() else {
            return;
        };
        self.observer.request(&request);
        let answers = say(&mut self.stream, self.wire, &request);
        let stale = self.wire == Wire::Sotw && request.nonce == client::NOBODYS;
        assert!(!stale || answers.is_empty(), "a stale nonce: {answers:?}");
        self.send(answers);
    }

    fn client_reads(&mut self, accept: bool) {
        if let Some(response) = self.to_client.pop_front() {
            self.to_server
                .extend(self.client.response(&response, accept));
        }
    }

    fn send(&mut self, answers: Vec<Push>) {
        let responses: Vec<Response> = answers
            .into_iter()
            .map(|answer| wire_form(self.wire, answer))
            .collect();
        self.observer.responses(&responses);
        self.to_client.extend(responses);
    }

    fn reconnect(&mut self) {
        self.to_server.clear();
        self.to_client.clear();
        self.stream = Stream::new(self.wire);
        let state = self.observer.reconnected();
        self.to_server.extend(self.client.reconnect());
        if let Some(state) = state {
            self.publish(&state);
        }
    }

    /// Delivers everything; the client accepts everything.
    fn settle(&mut self) {
        for _ in 0..1_000 {
            if self.to_server.is_empty() && self.to_client.is_empty() {
                return;
            }
            self.server_reads();
            self.client_reads(true);
        }
        panic!(
            "they never stop talking: {:?} {:?}",
            self.to_server, self.to_client
        );
    }
}

fn everything(version: &str) -> State {
    let content = || {
        NAMES
            .map(|name| (name.to_owned(), version.to_owned()))
            .into()
    };
    std::array::from_fn(|_| content())
}

/// `gentle`: no NACKs and no broken streams, so everything must arrive without another change.
fn converse(wire: Wire, steps: Vec<Step>, gentle: bool, shares: bool, mut last: State) {
    let mut world = World::new(wire, shares);
    for step in steps {
        match step {
            Step::Reconnect if gentle => {}
            Step::ToClient { .. } if gentle => world.take(Step::ToClient { accept: true }),
            step => world.take(step),
        }
    }
    world.settle();
    if let (true, Some(state)) = (gentle, world.observer.state()) {
        world.client.assert_holds(state);
    }
    // A state that changes every type, so that nothing stays rejected.
    world.publish(&everything("8"));
    world.settle();
    world.client.assert_holds(&everything("8"));
    for content in &mut last {
        content
            .values_mut()
            .for_each(|version| *version = "9".to_owned());
    }
    world.publish(&last);
    world.settle();
    world.client.assert_holds(&last);
}

/// A client rejects the removal of a name, unsubscribes and subscribes again. The response that the name does not exist
/// removes nothing.
#[test]
fn what_was_given_up_is_not_taken_away() {
    use ResourceType::{Cluster, Endpoint, Listener};
    let mut something = State::default();
    for kind in [Cluster, Listener] {
        something[index(kind)].insert("c".to_owned(), "1".to_owned());
    }
    let steps = vec![
        Step::Publish(State::default()),
        Step::Subscribe(Endpoint, "b"),
        Step::Subscribe(Cluster, "a"),
        Step::Subscribe(Cluster, "a"),
        Step::Subscribe(Endpoint, "a"),
        Step::ToServer,
        Step::Subscribe(Listener, "a"),
        Step::ToClient { accept: false },
        Step::Publish(State::default()),
        Step::Publish(State::default()),
        Step::Unsubscribe(Endpoint, "b"),
        Step::ToServer,
        Step::Subscribe(Endpoint, "b"),
        Step::Publish(something),
    ];
    converse(Wire::Delta, steps, false, false, State::default());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sotw_keeps_the_rules_and_arrives(steps in vec(step(), 0..80), gentle: bool, shares: bool, last in state()) {
        converse(Wire::Sotw, steps, gentle, shares, last);
    }

    #[test]
    fn delta_keeps_the_rules_and_arrives(steps in vec(step(), 0..80), gentle: bool, shares: bool, last in state()) {
        converse(Wire::Delta, steps, gentle, shares, last);
    }
}
