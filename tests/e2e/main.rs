//! e2e

mod agent;
