//! Locations of regions, and the distances between them.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A location on the Earth, in degrees.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Location {
    /// North of the equator, -90 to 90.
    pub latitude: f64,
    /// East of Greenwich, -180 to 180.
    pub longitude: f64,
}

/// The Earth's mean radius, in kilometres.
const EARTH_RADIUS_KM: f64 = 6371.0;

/// Distance that light travels in optical fibre in a millisecond, in kilometres.
const FIBRE_KM_PER_MS: f64 = 200.0;

/// Cable length over great-circle distance.
const CABLE_FACTOR: f64 = 1.5;

/// Router delay in a round trip, in milliseconds.
const ROUTER_DELAY_MS: f64 = 5.0;

impl Location {
    /// Great-circle distance to another location, in kilometres.
    pub fn kilometres_to(&self, other: &Self) -> f64 {
        let half = |one: f64, other: f64| ((other - one).to_radians() / 2.0).sin().powi(2);
        let haversine = half(self.latitude, other.latitude)
            + self.latitude.to_radians().cos()
                * other.latitude.to_radians().cos()
                * half(self.longitude, other.longitude);
        2.0 * EARTH_RADIUS_KM * haversine.clamp(0.0, 1.0).sqrt().asin()
    }

    /// Estimated round-trip time to another location, for pairs without a measurement.
    pub fn round_trip(&self, other: &Self) -> Duration {
        let distance = self.kilometres_to(other) * CABLE_FACTOR;
        Duration::from_secs_f64((2.0 * distance / FIBRE_KM_PER_MS + ROUTER_DELAY_MS) / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(latitude: f64, longitude: f64) -> Location {
        Location {
            latitude,
            longitude,
        }
    }

    #[test]
    fn distances_and_round_trips_match_known_values() {
        let (dublin, virginia) = (at(53.3, -6.3), at(38.9, -77.5));
        let distance = dublin.kilometres_to(&virginia);
        assert!((distance - 5460.0).abs() < 60.0, "{distance}");
        assert!((virginia.kilometres_to(&dublin) - distance).abs() < 1e-6);
        assert_eq!(dublin.kilometres_to(&dublin), 0.0);
        // The AWS regions there have a round trip of about 70 ms.
        let there_and_back = dublin.round_trip(&virginia).as_millis();
        assert!((60..100).contains(&there_and_back), "{there_and_back}");
        // A pair on both sides of the date line.
        let line = at(0.0, 179.0).kilometres_to(&at(0.0, -179.0));
        assert!((line - 222.4).abs() < 1.0, "{line}");
        let poles = at(90.0, 0.0).kilometres_to(&at(-90.0, 0.0));
        assert!((poles - std::f64::consts::PI * EARTH_RADIUS_KM).abs() < 1.0);
    }
}
