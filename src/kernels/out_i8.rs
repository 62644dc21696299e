//! stub
use crate::base::{Range, Requant};
use serde::{Deserialize, Serialize};
/// stub
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutI8 {
    /// r
    pub requant: Requant,
    /// z
    pub zero_point: i32,
    /// r
    pub range: Range,
}
