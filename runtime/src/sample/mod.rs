//! Sample events, as AWS's services send them and document them. Pure.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | which there are, and what can be chosen |
//! | `http.rs` | of HTTP requests, by the code that serves real ones |
//! | `records.rs` | in records: queues, topics, streams, buckets |
//! | `services.rs` | of other services |
//! | `md5.rs` | the digest in SQS's records |

mod http;
mod md5;
mod records;
mod services;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::model::ACCOUNT_ID;

/// What can be chosen of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    Body,
    Bucket,
    DetailType,
    Header,
    Key,
    Method,
    Path,
    Query,
    Records,
    Resource,
    Source,
    Subject,
}

impl Choice {
    /// Its option.
    pub(crate) fn option(self) -> &'static str {
        match self {
            Self::Body => "--body",
            Self::Bucket => "--bucket",
            Self::DetailType => "--detail-type",
            Self::Header => "--header",
            Self::Key => "--key",
            Self::Method => "--method",
            Self::Path => "--path",
            Self::Query => "--query",
            Self::Records => "--records",
            Self::Resource => "--resource",
            Self::Source => "--source",
            Self::Subject => "--subject",
        }
    }
}

/// What was chosen; nothing is what AWS's documentation has.
#[derive(Debug, Clone, Default)]
pub(crate) struct Choices {
    pub(crate) region: Option<String>,
    pub(crate) account: Option<String>,
    pub(crate) body: Option<String>,
    pub(crate) bucket: Option<String>,
    pub(crate) detail_type: Option<String>,
    /// As `NAME:VALUE`.
    pub(crate) headers: Vec<String>,
    pub(crate) key: Option<String>,
    pub(crate) method: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) query: Option<String>,
    pub(crate) records: Option<u32>,
    pub(crate) resource: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) subject: Option<String>,
}

impl Choices {
    fn made(&self) -> impl Iterator<Item = Choice> {
        let all = [
            (Choice::Body, self.body.is_some()),
            (Choice::Bucket, self.bucket.is_some()),
            (Choice::DetailType, self.detail_type.is_some()),
            (Choice::Header, !self.headers.is_empty()),
            (Choice::Key, self.key.is_some()),
            (Choice::Method, self.method.is_some()),
            (Choice::Path, self.path.is_some()),
            (Choice::Query, self.query.is_some()),
            (Choice::Records, self.records.is_some()),
            (Choice::Resource, self.resource.is_some()),
            (Choice::Source, self.source.is_some()),
            (Choice::Subject, self.subject.is_some()),
        ];
        all.into_iter()
            .filter_map(|(choice, made)| made.then_some(choice))
    }

    fn region(&self) -> &str {
        self.region.as_deref().unwrap_or("us-east-1")
    }

    fn account(&self) -> &str {
        self.account.as_deref().unwrap_or(ACCOUNT_ID)
    }

    fn body(&self) -> &str {
        self.body.as_deref().unwrap_or("Hello from Lambent!")
    }

    fn resource<'a>(&'a self, usual: &'a str) -> &'a str {
        self.resource.as_deref().unwrap_or(usual)
    }

    /// The ARN of something of a service.
    fn arn(&self, service: &str, rest: &str) -> String {
        format!(
            "arn:aws:{service}:{}:{}:{rest}",
            self.region(),
            self.account()
        )
    }

    /// So many of what `record` makes, which is told their numbers.
    fn records(&self, record: impl FnMut(u32) -> Value) -> Vec<Value> {
        (0..self.records.unwrap_or(1)).map(record).collect()
    }
}

/// An event that there is.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    /// What others call it.
    pub(crate) aliases: &'static [&'static str],
    pub(crate) about: &'static str,
    /// Beside region and account.
    pub(crate) choices: &'static [Choice],
    make: fn(&Choices) -> Result<Value, String>,
}

const HTTP: &[Choice] = &[
    Choice::Method,
    Choice::Path,
    Choice::Query,
    Choice::Header,
    Choice::Body,
];
const RECORDS: &[Choice] = &[Choice::Body, Choice::Resource, Choice::Records];

/// All events.
pub(crate) const SAMPLES: &[Sample] = &[
    Sample {
        name: "alb",
        aliases: &["elb", "application-load-balancer"],
        about: "Application Load Balancer: an HTTP request",
        choices: HTTP,
        make: http::alb,
    },
    Sample {
        name: "apigw-v1",
        aliases: &["apigw", "apigateway", "rest", "rest-api"],
        about: "API Gateway, REST API: an HTTP request in payload format 1.0",
        choices: HTTP,
        make: http::rest,
    },
    Sample {
        name: "apigw-v2",
        aliases: &["apigatewayv2", "http", "http-api"],
        about: "API Gateway, HTTP API: an HTTP request in payload format 2.0",
        choices: HTTP,
        make: http::http_api,
    },
    Sample {
        name: "cloudwatch-logs",
        aliases: &["cloudwatch", "logs"],
        about: "CloudWatch Logs: events of a log group",
        choices: RECORDS,
        make: services::cloudwatch_logs,
    },
    Sample {
        name: "cognito-post-confirmation",
        aliases: &[],
        about: "Cognito: a user has signed up",
        choices: &[Choice::Resource],
        make: services::cognito_post_confirmation,
    },
    Sample {
        name: "cognito-pre-sign-up",
        aliases: &["cognito"],
        about: "Cognito: a user wants to sign up",
        choices: &[Choice::Resource],
        make: services::cognito_pre_sign_up,
    },
    Sample {
        name: "cognito-pre-token-generation",
        aliases: &["cognito-pre-token"],
        about: "Cognito: a user is to get tokens",
        choices: &[Choice::Resource],
        make: services::cognito_pre_token_generation,
    },
    Sample {
        name: "dynamodb",
        aliases: &["dynamodb-update"],
        about: "DynamoDB Streams: new items of a table; the body is their attribute Message",
        choices: RECORDS,
        make: records::dynamodb,
    },
    Sample {
        name: "eventbridge",
        aliases: &["event-bridge"],
        about: "EventBridge: an event of an application; the body is its detail",
        choices: &[Choice::Body, Choice::Source, Choice::DetailType],
        make: services::eventbridge,
    },
    Sample {
        name: "firehose",
        aliases: &["kinesis-firehose"],
        about: "Data Firehose: records to transform",
        choices: RECORDS,
        make: records::firehose,
    },
    Sample {
        name: "function-url",
        aliases: &["lambda-url", "url"],
        about: "Function URL: an HTTP request in payload format 2.0",
        choices: HTTP,
        make: http::function_url,
    },
    Sample {
        name: "kafka",
        aliases: &["msk"],
        about: "Managed Streaming for Apache Kafka: messages of a topic",
        choices: RECORDS,
        make: records::kafka,
    },
    Sample {
        name: "kinesis",
        aliases: &["kinesis-streams"],
        about: "Kinesis Data Streams: records of a stream",
        choices: RECORDS,
        make: records::kinesis,
    },
    Sample {
        name: "s3-delete",
        aliases: &[],
        about: "S3: an object was deleted",
        choices: &[Choice::Bucket, Choice::Key],
        make: records::s3_delete,
    },
    Sample {
        name: "s3-put",
        aliases: &["s3"],
        about: "S3: an object was created",
        choices: &[Choice::Bucket, Choice::Key],
        make: records::s3_put,
    },
    Sample {
        name: "scheduled",
        aliases: &["schedule", "cron"],
        about: "EventBridge: a rule with a schedule",
        choices: &[Choice::Resource],
        make: services::scheduled,
    },
    Sample {
        name: "ses",
        aliases: &["email"],
        about: "Simple Email Service: a message came in",
        choices: &[Choice::Subject],
        make: records::ses,
    },
    Sample {
        name: "sns",
        aliases: &[],
        about: "SNS: messages of a topic",
        choices: &[
            Choice::Body,
            Choice::Subject,
            Choice::Resource,
            Choice::Records,
        ],
        make: records::sns,
    },
    Sample {
        name: "sqs",
        aliases: &[],
        about: "SQS: messages of a queue",
        choices: RECORDS,
        make: records::sqs,
    },
];

/// Makes an event.
///
/// # Errors
/// There is none of this name, or it has not what was chosen.
pub(crate) fn event(name: &str, choices: &Choices) -> Result<Value, String> {
    let is_it = |sample: &&Sample| sample.name == name || sample.aliases.contains(&name);
    let sample = SAMPLES.iter().find(is_it).ok_or_else(|| {
        let names: Vec<_> = SAMPLES.iter().map(|sample| sample.name).collect();
        format!(
            "there is no event \"{}\"; there are {} (--list says what they are)",
            name.escape_debug(),
            names.join(", ")
        )
    })?;
    if let Some(choice) = choices.made().find(|made| !sample.choices.contains(made)) {
        let options: Vec<_> = sample
            .choices
            .iter()
            .map(|choice| choice.option())
            .collect();
        return Err(format!(
            "the event {} has no {}; it has {}, --region and --account",
            sample.name,
            choice.option(),
            options.join(", ")
        ));
    }
    (sample.make)(choices)
}
