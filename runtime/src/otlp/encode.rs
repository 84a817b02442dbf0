//! Spans as the request of OTLP, in protobuf. Pure.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span as Message, Status, span::SpanKind, status::StatusCode,
};
use prost::Message as _;

use super::span::{Function, Kind, Span, Value};
use crate::model::ACCOUNT_ID;

/// The body of a request that delivers these.
pub(super) fn request(spans: &[Span]) -> Vec<u8> {
    let mut resources: Vec<(&Function, Vec<Message>)> = vec![];
    for span in spans {
        let known = resources
            .iter_mut()
            .find(|(function, _)| **function == *span.function);
        match known {
            Some((_, messages)) => messages.push(message(span)),
            None => resources.push((&span.function, vec![message(span)])),
        }
    }
    let resource_spans = resources
        .into_iter()
        .map(|(function, spans)| ResourceSpans {
            resource: Some(resource(function)),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: env!("CARGO_PKG_NAME").to_owned(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    ..InstrumentationScope::default()
                }),
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        });
    ExportTraceServiceRequest {
        resource_spans: resource_spans.collect(),
    }
    .encode_to_vec()
}

/// How many spans of a request were not taken although it was answered with success,
/// and why.
pub(super) fn rejected(answer: &[u8]) -> Option<(u64, String)> {
    let answer = ExportTraceServiceResponse::decode(answer).ok()?;
    let partial = answer.partial_success?;
    let rejected = u64::try_from(partial.rejected_spans).ok()?;
    (rejected > 0).then_some((rejected, partial.error_message))
}

fn resource(function: &Function) -> Resource {
    let text = |value: &str| any_value::Value::StringValue(value.to_owned());
    let memory = i64::try_from(function.memory_bytes).unwrap_or(i64::MAX);
    let attributes = [
        ("service.name", text(&function.name)),
        ("faas.name", text(&function.name)),
        ("faas.version", text(&function.version)),
        ("faas.max_memory", any_value::Value::IntValue(memory)),
        ("cloud.provider", text("aws")),
        ("cloud.platform", text("aws_lambda")),
        ("cloud.region", text(&function.region)),
        ("cloud.account.id", text(ACCOUNT_ID)),
        ("cloud.resource_id", text(&function.arn)),
    ];
    Resource {
        attributes: attributes.map(|(key, value)| pair(key, value)).to_vec(),
        ..Resource::default()
    }
}

fn message(span: &Span) -> Message {
    let kind = match span.kind {
        Kind::Server => SpanKind::Server,
        Kind::Internal => SpanKind::Internal,
    };
    let attributes = span.attributes.iter().map(|(key, value)| {
        let value = match value {
            Value::Text(text) => any_value::Value::StringValue(text.clone()),
            Value::Flag(flag) => any_value::Value::BoolValue(*flag),
        };
        pair(key, value)
    });
    Message {
        trace_id: span.trace.to_vec(),
        span_id: span.id.bytes().to_vec(),
        parent_span_id: span
            .parent
            .map_or_else(Vec::new, |parent| parent.bytes().to_vec()),
        name: span.name.clone(),
        kind: kind.into(),
        start_time_unix_nano: nanoseconds(span.start),
        end_time_unix_nano: nanoseconds(span.end),
        attributes: attributes.collect(),
        // Without an error, whether all went well is not said.
        status: span.error.as_ref().map(|error| Status {
            message: error.clone(),
            code: StatusCode::Error.into(),
        }),
        ..Message::default()
    }
}

fn pair(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

    use super::*;
    use crate::model::SpanId;

    fn function(name: &str) -> Arc<Function> {
        Arc::new(Function {
            name: name.to_owned(),
            version: "7".to_owned(),
            arn: format!("arn:{name}:7"),
            region: "eu-west-1".to_owned(),
            memory_bytes: 512 << 20,
        })
    }

    fn span(function: &Arc<Function>) -> Span {
        Span {
            function: Arc::clone(function),
            trace: [7; 16],
            id: SpanId::random(),
            parent: None,
            name: "invoke".to_owned(),
            kind: Kind::Server,
            start: UNIX_EPOCH + Duration::from_nanos(1_700_000_000_000_000_001),
            end: UNIX_EPOCH + Duration::from_nanos(1_700_000_000_000_000_009),
            attributes: vec![("faas.coldstart", Value::Flag(true))],
            error: Some("no".to_owned()),
        }
    }

    #[test]
    fn a_request_has_a_resource_for_each_function() {
        let (one, other) = (function("one"), function("other"));
        let mut child = span(&one);
        child.parent = Some(child.id);
        child.error = None;
        let spans = [span(&one), span(&other), child];
        let request = ExportTraceServiceRequest::decode(&*request(&spans)).unwrap();
        let counts = request.resource_spans.iter().map(|resource| {
            let attributes = &resource.resource.as_ref().unwrap().attributes;
            let service = attributes.iter().find(|pair| pair.key == "service.name");
            let value = service.unwrap().value.clone().unwrap().value.unwrap();
            (value, resource.scope_spans[0].spans.len())
        });
        let text = |text: &str| any_value::Value::StringValue(text.to_owned());
        let counts: Vec<_> = counts.collect();
        assert_eq!(counts, [(text("one"), 2), (text("other"), 1)]);
        let of_one = &request.resource_spans[0].scope_spans[0].spans;
        assert_eq!(of_one[0].trace_id, [7; 16]);
        assert_eq!(of_one[0].span_id, spans[0].id.bytes());
        assert_eq!(of_one[0].parent_span_id, [0_u8; 0]);
        assert_eq!(of_one[0].kind, i32::from(SpanKind::Server));
        assert_eq!(of_one[0].start_time_unix_nano, 1_700_000_000_000_000_001);
        assert_eq!(of_one[0].end_time_unix_nano, 1_700_000_000_000_000_009);
        assert_eq!(of_one[0].status.as_ref().unwrap().message, "no");
        assert_eq!(of_one[1].parent_span_id, spans[2].id.bytes());
        assert_eq!(of_one[1].status, None);
    }

    #[test]
    fn an_answer_may_reject_some() {
        let answer = |rejected_spans| {
            ExportTraceServiceResponse {
                partial_success: Some(ExportTracePartialSuccess {
                    rejected_spans,
                    error_message: "too old".to_owned(),
                }),
            }
            .encode_to_vec()
        };
        assert_eq!(rejected(&answer(3)), Some((3, "too old".to_owned())));
        for none in [answer(0), answer(-1), vec![], b"OK".to_vec()] {
            assert_eq!(rejected(&none), None, "{none:?}");
        }
    }
}
