//! Between the messages of the contract and our own values.

use super::super::failure::Failure;
use super::super::request::{AN_HOUR, Audit, IntentRequest};
use crate::decisions::Wanted;
use crate::serve::store;
use axum::http::StatusCode;
use meridian_planner::intent::{self, Intents};
use meridian_planner::signal::Millis;
use meridian_proto::admin::action::Kind;
use meridian_proto::admin::{
    Action, Change, CreateIntentRequest, Drain, Freeze, Intent, ListAuditResponse,
    ListDecisionsRequest, ListIntentsResponse, Override, Record,
};
use prost_types::Timestamp;
use std::fmt::Display;
use std::str::FromStr;
use std::time::{Duration, UNIX_EPOCH};

fn invalid(field: &str, error: impl Display) -> Failure {
    Failure::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        format!("{field}: {error}"),
    )
}

fn name<N: FromStr<Err: Display>>(field: &str, text: &str) -> Result<N, Failure> {
    text.parse().map_err(|error| invalid(field, error))
}

/// The number of entries that a request wants; 0 stands for the default.
pub(super) fn limit(limit: u32, default: usize) -> usize {
    match limit {
        0 => default,
        limit => usize::try_from(limit).unwrap_or(usize::MAX),
    }
}

/// Which decisions are wanted.
pub(super) fn wanted_decisions(request: ListDecisionsRequest) -> Result<Wanted, Failure> {
    let text = |text: String| Some(text).filter(|text| !text.is_empty());
    let outcome = text(request.outcome).map(|outcome| outcome.parse());
    Ok(Wanted {
        last: limit(request.last, Wanted::USUAL),
        after: request.after,
        gateway: text(request.gateway),
        zone: text(request.zone),
        model: text(request.model),
        region: text(request.region),
        lane: text(request.lane),
        outcome: outcome
            .transpose()
            .map_err(|error: String| invalid("outcome", error))?,
        request_id: text(request.request_id),
    })
}

/// A request of the contract.
pub(super) fn intent_request(request: CreateIntentRequest) -> Result<IntentRequest, Failure> {
    let kind = request.action.and_then(|action| action.kind);
    let lasts = request.lasts.map(Duration::try_from).transpose();
    Ok(IntentRequest {
        action: action(kind.ok_or_else(|| invalid("action", "it is missing"))?)?,
        by: request.by,
        why: request.why,
        lasts: lasts
            .map_err(|error| invalid("lasts", error))?
            .unwrap_or(AN_HOUR),
        force: request.force,
    })
}

fn action(kind: Kind) -> Result<intent::Action, Failure> {
    Ok(match kind {
        Kind::Drain(drain) => intent::Action::Drain {
            region: name("region", &drain.region)?,
            model: match drain.model.as_str() {
                "" => None,
                model => Some(name("model", model)?),
            },
            hard: drain.hard,
        },
        Kind::Override(place) => intent::Action::Override {
            gateway: name("gateway", &place.gateway)?,
            zone: name("zone", &place.zone)?,
            model: name("model", &place.model)?,
            // What is no percentage is refused as such.
            home_share: u8::try_from(place.home_share).unwrap_or(u8::MAX),
            overflow: place
                .overflow
                .iter()
                .map(|(region, weight)| Ok((name("overflow", region)?, *weight)))
                .collect::<Result<_, Failure>>()?,
        },
        Kind::Freeze(Freeze {}) => intent::Action::Freeze {},
    })
}

fn action_message(action: intent::Action) -> Action {
    let kind = match action {
        intent::Action::Drain {
            region,
            model,
            hard,
        } => Kind::Drain(Drain {
            region: region.to_string(),
            model: model.map(|model| model.to_string()).unwrap_or_default(),
            hard,
        }),
        intent::Action::Override {
            gateway,
            zone,
            model,
            home_share,
            overflow,
        } => Kind::Override(Override {
            gateway: gateway.to_string(),
            zone: zone.to_string(),
            model: model.to_string(),
            home_share: home_share.into(),
            overflow: overflow
                .into_iter()
                .map(|(region, weight)| (region.to_string(), weight))
                .collect(),
        }),
        intent::Action::Freeze {} => Kind::Freeze(Freeze {}),
    };
    Action { kind: Some(kind) }
}

fn timestamp(at: Millis) -> Option<Timestamp> {
    Some(Timestamp::from(UNIX_EPOCH + Duration::from_millis(at.0)))
}

fn intent_message(intent: intent::Intent) -> Intent {
    Intent {
        action: Some(action_message(intent.action)),
        by: intent.by,
        why: intent.why,
        created: timestamp(intent.created),
        expires: timestamp(intent.expires),
        forced: intent.forced,
    }
}

/// The intents as a message.
pub(super) fn intents_message(intents: Intents) -> ListIntentsResponse {
    let intents = intents.0.into_iter();
    let intents = intents.map(|(number, intent)| (number, intent_message(intent)));
    ListIntentsResponse {
        intents: intents.collect(),
    }
}

/// A record as a message.
pub(super) fn record_message(record: store::Record) -> Record {
    let change = match record.change {
        store::Change::Created => Change::Created,
        store::Change::Undone => Change::Undone,
        store::Change::Expired => Change::Expired,
    };
    let (before_number, before) = record.before.unzip();
    Record {
        number: record.number,
        at: timestamp(record.at),
        change: change.into(),
        by: record.by,
        from: record.from,
        why: record.why,
        before_number,
        before: before.map(intent_message),
        after: record.after.map(intent_message),
        previous: record.previous,
        hash: record.hash,
    }
}

/// Records as a message.
pub(super) fn audit_message(audit: Audit) -> ListAuditResponse {
    ListAuditResponse {
        records: audit.records.into_iter().map(record_message).collect(),
        broken_at: audit.broken_at,
    }
}
