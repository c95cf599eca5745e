//! meridian-xds-server
