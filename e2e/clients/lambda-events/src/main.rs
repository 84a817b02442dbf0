//! Reads the sample event of a name from standard input as what it should be, in the
//! types of AWS's crate for functions in Rust, and prints what they make of it.

use std::error::Error;
use std::io::read_to_string;

use aws_lambda_events::event::alb::AlbTargetGroupRequest;
use aws_lambda_events::event::apigw::{ApiGatewayProxyRequest, ApiGatewayV2httpRequest};
use aws_lambda_events::event::cloudwatch_logs::LogsEvent;
use aws_lambda_events::event::cognito::{
    CognitoEventUserPoolsPostConfirmation, CognitoEventUserPoolsPreSignup,
    CognitoEventUserPoolsPreTokenGen,
};
use aws_lambda_events::event::dynamodb;
use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use aws_lambda_events::event::firehose::KinesisFirehoseEvent;
use aws_lambda_events::event::kafka::KafkaEvent;
use aws_lambda_events::event::kinesis::KinesisEvent;
use aws_lambda_events::event::lambda_function_urls::LambdaFunctionUrlRequest;
use aws_lambda_events::event::s3::S3Event;
use aws_lambda_events::event::ses::SimpleEmailEvent;
use aws_lambda_events::event::sns::SnsEvent;
use aws_lambda_events::event::sqs::SqsEvent;
use serde_json::{Value, from_str, to_value};

fn main() -> Result<(), Box<dyn Error>> {
    let name = std::env::args().nth(1).ok_or("no name")?;
    // As a whole: one of the types wants to borrow from it.
    let event = read_to_string(std::io::stdin().lock())?;
    let understood = match name.as_str() {
        "alb" => to_value(from_str::<AlbTargetGroupRequest>(&event)?)?,
        "apigw-v1" => to_value(from_str::<ApiGatewayProxyRequest>(&event)?)?,
        "apigw-v2" => to_value(from_str::<ApiGatewayV2httpRequest>(&event)?)?,
        "cloudwatch-logs" => to_value(from_str::<LogsEvent>(&event)?)?,
        "cognito-post-confirmation" => {
            to_value(from_str::<CognitoEventUserPoolsPostConfirmation>(&event)?)?
        }
        "cognito-pre-sign-up" => to_value(from_str::<CognitoEventUserPoolsPreSignup>(&event)?)?,
        "cognito-pre-token-generation" => {
            to_value(from_str::<CognitoEventUserPoolsPreTokenGen>(&event)?)?
        }
        "dynamodb" => to_value(from_str::<dynamodb::Event>(&event)?)?,
        "eventbridge" | "scheduled" => to_value(from_str::<EventBridgeEvent<Value>>(&event)?)?,
        "firehose" => to_value(from_str::<KinesisFirehoseEvent>(&event)?)?,
        "function-url" => to_value(from_str::<LambdaFunctionUrlRequest>(&event)?)?,
        "kafka" => to_value(from_str::<KafkaEvent>(&event)?)?,
        "kinesis" => to_value(from_str::<KinesisEvent>(&event)?)?,
        "s3-delete" | "s3-put" => to_value(from_str::<S3Event>(&event)?)?,
        "ses" => to_value(from_str::<SimpleEmailEvent>(&event)?)?,
        "sns" => to_value(from_str::<SnsEvent>(&event)?)?,
        "sqs" => to_value(from_str::<SqsEvent>(&event)?)?,
        other => return Err(format!("no type is known for {other}").into()),
    };
    println!("{understood}");
    Ok(())
}
