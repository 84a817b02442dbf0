//! What Lambda asks for, in US dollars.
//!
//! The first tier of duration (up to six billion GB-seconds a month for x86), without
//! the free tier. Only regions that are known to have these prices are here; for others
//! the user has to say them.
//!
//! | what | from |
//! |---|---|
//! | all prices of us-east-1 | AWS's price list of `AWSLambda`, version 20260831 |
//! | x86 of us-east-2, us-west-2, ap-northeast-1; `/tmp` of us-east-2 | the same, 20260819, 20260831, 20260717 |
//! | that the other regions have the price of us-east-1 | AWS Lambda Power Tuning 4.3.4, whose table has those that differ |

use std::str::FromStr;

use serde::Serialize;

use crate::model::EphemeralStorage;

/// When the price list was published that the table is from.
const AS_OF: &str = "2026-08";
const SOURCE: &str = "https://aws.amazon.com/lambda/pricing/";

/// Regions with the prices below.
const REGIONS: [&str; 11] = [
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "ca-central-1",
    "eu-central-1",
    "eu-west-1",
    "eu-west-2",
    "ap-northeast-1",
    "ap-southeast-1",
    "ap-southeast-2",
];
const X86_GB_SECOND: f64 = 0.000_016_666_7;
const ARM_GB_SECOND: f64 = 0.000_013_333_4;
const MILLION_REQUESTS: f64 = 0.20;

/// Those of them with the price of `/tmp` beyond what is free.
const STORAGE_REGIONS: [&str; 2] = ["us-east-1", "us-east-2"];
const STORAGE_GB_SECOND: f64 = 0.000_000_030_9;

/// More than anything of Lambda's will ever cost, in US dollars: what is worked out with it
/// stays a number.
const PRICE_MAX: f64 = 1_000_000.0;

/// MB of `/tmp` that cost nothing.
const FREE_STORAGE_MB: u32 = 512;
const MB_PER_GB: f64 = 1_024.0;

/// The prices of a region and an architecture.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Price {
    pub(crate) region: String,
    /// As container images name it: `amd64`, `arm64`.
    pub(crate) architecture: String,
    pub(crate) gb_second: f64,
    pub(crate) million_requests: f64,
    /// Of `/tmp` beyond 512 MB.
    pub(crate) storage_gb_second: f64,
    /// Where it is from, with its date.
    pub(crate) source: String,
}

/// A price that the user names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum PriceOverride {
    GbSecond(f64),
    MillionRequests(f64),
    StorageGbSecond(f64),
}

impl FromStr for PriceOverride {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once('=')
            .ok_or("a price is NAME=USD, such as gb-second=0.0000166667")?;
        let value = value
            .parse()
            .ok()
            .filter(|value: &f64| (0.0..=PRICE_MAX).contains(value))
            .ok_or_else(|| {
                format!(
                    "\"{value}\" is not a number of US dollars from 0 to {PRICE_MAX}, such as 0.20"
                )
            })?;
        match name {
            "gb-second" => Ok(Self::GbSecond(value)),
            "million-requests" => Ok(Self::MillionRequests(value)),
            "storage-gb-second" => Ok(Self::StorageGbSecond(value)),
            _ => Err(format!(
                "there is no price \"{name}\": it is gb-second, million-requests or \
                 storage-gb-second"
            )),
        }
    }
}

impl Price {
    /// The prices of a region, with those that the user names in their place.
    ///
    /// # Errors
    /// The table does not have them, and neither does the user.
    pub(crate) fn find(
        region: &str,
        architecture: &str,
        tmp: EphemeralStorage,
        overrides: &[PriceOverride],
    ) -> Result<Self, String> {
        let of_table = |known: &[&str], price| known.contains(&region).then_some(price);
        let per_architecture = match architecture {
            "arm64" => ARM_GB_SECOND,
            _ => X86_GB_SECOND,
        };
        let mut gb_second = of_table(&REGIONS, per_architecture);
        let mut million_requests = of_table(&REGIONS, MILLION_REQUESTS);
        let mut storage = of_table(&STORAGE_REGIONS, STORAGE_GB_SECOND);
        if tmp.get() <= FREE_STORAGE_MB {
            storage = storage.or(Some(0.0));
        }
        for price in overrides {
            match *price {
                PriceOverride::GbSecond(value) => gb_second = Some(value),
                PriceOverride::MillionRequests(value) => million_requests = Some(value),
                PriceOverride::StorageGbSecond(value) => storage = Some(value),
            }
        }
        let missing = |name: &str| {
            format!(
                "the price \"{name}\" of the region {region} is not known here: look it up at \
                 {SOURCE} and pass --price {name}=USD, or choose another --region"
            )
        };
        let source = if overrides.is_empty() {
            format!("{SOURCE}, {AS_OF}")
        } else {
            format!("--price; else {SOURCE}, {AS_OF}")
        };
        Ok(Self {
            region: region.to_owned(),
            architecture: architecture.to_owned(),
            gb_second: gb_second.ok_or_else(|| missing("gb-second"))?,
            million_requests: million_requests.ok_or_else(|| missing("million-requests"))?,
            storage_gb_second: storage.ok_or_else(|| missing("storage-gb-second"))?,
            source,
        })
    }

    /// A million invocations that are billed for `billed_ms` each.
    pub(crate) fn per_million(&self, memory_mb: u32, tmp: EphemeralStorage, billed_ms: f64) -> f64 {
        let million_seconds = billed_ms * 1_000.0;
        let storage_mb = tmp.get().saturating_sub(FREE_STORAGE_MB);
        let a_second = f64::from(memory_mb) / MB_PER_GB * self.gb_second
            + f64::from(storage_mb) / MB_PER_GB * self.storage_gb_second;
        self.million_requests + million_seconds * a_second
    }
}
