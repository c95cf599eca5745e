//! A line of a gateway's access log.

use meridian_policy::filter_policy::Lane;
use serde_json::Value;

/// Refusals that depend on the fleet.
const BY_FLEET: [&str; 2] = ["misdirected", "model_not_found"];

/// A decision about a request.
#[derive(Debug)]
pub struct Line {
    /// Its `x-request-id`.
    pub request_id: String,
    /// The gateway.
    pub gateway: String,
    /// The caller's zone.
    pub zone: String,
    /// The model.
    pub model: String,
    /// The lane; `None` if it was refused.
    pub lane: Option<Lane>,
    /// The region or fallback that was asked last, or `refused=` and why.
    pub before: String,
    /// How many members were asked.
    pub attempts: u64,
    /// Bytes of the body.
    pub bytes: u64,
}

impl Line {
    /// Reads a line. `None`: it is not about where a request goes.
    ///
    /// # Errors
    /// It is no JSON.
    pub fn read(text: &str) -> Result<Option<Self>, serde_json::Error> {
        let fields: Value = serde_json::from_str(text)?;
        Ok(Self::of(&fields))
    }

    fn of(fields: &Value) -> Option<Self> {
        let text = |name: &str| {
            let text = fields.get(name)?.as_str()?;
            (text != "-" && !text.is_empty()).then(|| text.to_owned())
        };
        let number = |name: &str| fields.get(name).and_then(Value::as_u64).unwrap_or_default();
        // A request of another gateway has a line there.
        if text("listener").is_some_and(|listener| listener != "public") {
            return None;
        }
        let decision = text("decision")?;
        let said = |key: &str| {
            let mut words = decision.split(' ').filter_map(|word| word.split_once('='));
            words
                .find(|(name, _)| *name == key)
                .map(|(_, value)| value.to_owned())
        };
        let lane = said("lane");
        let lane = lane.and_then(|lane| Lane::ALL.into_iter().find(|it| it.as_str() == lane));
        let refused = said("refused").filter(|why| BY_FLEET.contains(&why.as_str()));
        let before = match (lane, refused) {
            (Some(_), _) => text("region")?,
            (None, why) => format!("refused={}", why?),
        };
        Some(Self {
            request_id: text("request_id").unwrap_or_default(),
            gateway: text("gateway")?,
            zone: said("zone").or_else(|| text("zone"))?,
            model: said("model").or_else(|| text("model")).unwrap_or_default(),
            lane,
            before,
            attempts: number("attempts"),
            bytes: number("bytes_in"),
        })
    }
}
