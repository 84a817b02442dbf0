//! The arguments of `lambent event`.

use clap::Args;

/// `lambent event`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Event {
    /// Which event; --list shows all
    #[arg(required_unless_present = "list")]
    pub(in crate::cli) name: Option<String>,

    /// List the events, and the options that each has
    #[arg(long, conflicts_with = "name")]
    pub(in crate::cli) list: bool,

    /// The region that it comes from [default: us-east-1]
    #[arg(long, value_name = "REGION")]
    pub(in crate::cli) region: Option<String>,

    /// The account that it comes from [default: 123456789012]
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) account: Option<String>,

    /// The body, message or data
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) body: Option<String>,

    /// How many records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(in crate::cli) records: Option<u32>,

    /// The bucket
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) bucket: Option<String>,

    /// The object's key
    #[arg(long, value_name = "KEY")]
    pub(in crate::cli) key: Option<String>,

    /// The HTTP method
    #[arg(long, value_name = "METHOD")]
    pub(in crate::cli) method: Option<String>,

    /// The path of the URL
    #[arg(long, value_name = "PATH")]
    pub(in crate::cli) path: Option<String>,

    /// The query of the URL, without its question mark
    #[arg(long, value_name = "QUERY")]
    pub(in crate::cli) query: Option<String>,

    /// A header; can be repeated
    #[arg(long, value_name = "NAME:VALUE")]
    pub(in crate::cli) header: Vec<String>,

    /// The name of what it comes from: a queue, topic, table, stream, rule, user pool,
    /// log group
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) resource: Option<String>,

    /// The subject of a message
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) subject: Option<String>,

    /// The source of an `EventBridge` event
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) source: Option<String>,

    /// The detail type of an `EventBridge` event
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) detail_type: Option<String>,
}
