//! Whole templates.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::configuration::{ApiKind, CodeSource, LayerSource};

const ROLE: &str = "arn:aws:iam::123456789012:role/r";

fn read_with(text: &str, given: &[(&str, &str)]) -> Result<Configuration, String> {
    let parameters: BTreeMap<String, String> = given
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let context = Context {
        parameters: &parameters,
        region: "us-east-1",
        role: ROLE,
    };
    read(text, context).map_err(|error| error.to_string())
}

const WHOLE: &str = r#"
AWSTemplateFormatVersion: '2010-09-09'
Transform: AWS::Serverless-2016-10-31
Parameters:
  Stage: {Type: String, Default: dev}
  Memory: {Type: Number, Default: 512}
Conditions:
  IsProd: !Equals [!Ref Stage, prod]
Globals:
  Function:
    Timeout: 10
    MemorySize: !Ref Memory
    LoggingConfig: {LogFormat: JSON, SystemLogLevel: WARN, LogGroup: all}
    Environment: {Variables: {STAGE: !Ref Stage, LEVEL: info}}
    Layers: [!Ref Common]
  HttpApi:
    CorsConfiguration: {AllowOrigins: ["https://example.com"]}
Resources:
  Common:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: layers/common/}
  Pillow:
    Type: AWS::Serverless::LayerVersion
    Properties: {LayerName: pillow, ContentUri: pillow.zip}
  Thumbnail:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: !Sub "${Stage}-thumbnail"
      CodeUri: src/thumbnail
      Runtime: python3.12
      Handler: app.handler
      Timeout: 60
      EphemeralStorage: {Size: 1024}
      Environment: {Variables: {LEVEL: debug, TABLE: !Ref Table, OTHER: !GetAtt Image.Arn}}
      Layers: [!Ref Pillow, "arn:aws:lambda:us-east-1:123456789012:layer:x:3"]
      Policies: [AWSLambdaBasicExecutionRole]
      VpcConfig: {SubnetIds: [a]}
      LoggingConfig: {ApplicationLogLevel: !If [IsProd, INFO, DEBUG]}
      AutoPublishAlias: live
      ProvisionedConcurrencyConfig: {ProvisionedConcurrentExecutions: 2}
      ReservedConcurrentExecutions: 5
      FunctionUrlConfig:
        AuthType: NONE
        Cors: {AllowOrigins: ["*"], MaxAge: 60}
      Events:
        Get: {Type: HttpApi, Properties: {Path: "/pets/{id}", Method: get}}
        Queue: {Type: SQS, Properties: {Queue: x}}
  Image:
    Type: AWS::Serverless::Function
    Metadata: {Dockerfile: Dockerfile, DockerContext: .}
    Properties:
      PackageType: Image
      ImageUri: oci-archive:image.tar
      ImageConfig: {Command: [app.other]}
      Layers: !Ref AWS::NoValue
      Events:
        All: {Type: HttpApi}
        Old: {Type: Api, Properties: {Path: /old, Method: post}}
        One: {Type: HttpApi, Properties: {Path: /one, Method: ANY, PayloadFormatVersion: "1.0"}}
  OnlyThere:
    Type: AWS::Serverless::Function
    Condition: IsProd
    Properties: {PackageType: Image}
  Table:
    Type: AWS::DynamoDB::Table
"#;

#[test]
fn a_template_becomes_functions() {
    let configuration = read_with(WHOLE, &[("Memory", "1769")]).unwrap();
    let [thumbnail, image] = configuration.functions.as_slice() else {
        panic!("{configuration:?}");
    };
    assert_eq!(
        thumbnail.request,
        json!({
            "FunctionName": "dev-thumbnail", "PackageType": "Zip", "Role": ROLE,
            "Runtime": "python3.12", "Handler": "app.handler", "Timeout": 60, "MemorySize": 1769,
            "EphemeralStorage": {"Size": 1024},
            "LoggingConfig": {
                "LogFormat": "JSON", "SystemLogLevel": "WARN", "ApplicationLogLevel": "DEBUG",
                "LogGroup": "all",
            },
            "Environment": {"Variables": {
                "STAGE": "dev", "LEVEL": "debug", "TABLE": "Table",
                "OTHER": "arn:aws:lambda:us-east-1:123456789012:function:Image",
            }},
        })
    );
    assert_eq!(
        thumbnail.code,
        CodeSource::Files("src/thumbnail".to_owned())
    );
    let files = |name: &str, content: &str| LayerSource::Files {
        name: name.to_owned(),
        content: content.to_owned(),
    };
    assert_eq!(
        thumbnail.layers,
        [
            files("Common", "layers/common/"),
            files("pillow", "pillow.zip"),
            LayerSource::Arn("arn:aws:lambda:us-east-1:123456789012:layer:x:3".to_owned()),
        ]
    );
    assert_eq!(thumbnail.reserved, Some(5));
    assert_eq!(thumbnail.alias.as_deref(), Some("live"));
    assert_eq!(thumbnail.provisioned, Some(2));
    assert_eq!(
        thumbnail.url,
        Some(json!({"AuthType": "NONE", "Cors": {"AllowOrigins": ["*"], "MaxAge": 60}}))
    );
    assert_eq!(
        image.code,
        CodeSource::Image("oci-archive:image.tar".to_owned())
    );
    assert_eq!(
        image.request["ImageConfig"],
        json!({"Command": ["app.other"]})
    );
    assert_eq!(image.request["Timeout"], 10);
    assert_eq!(
        image.request["LoggingConfig"],
        json!({"LogFormat": "JSON", "SystemLogLevel": "WARN", "LogGroup": "all"})
    );
    assert_eq!(image.layers, []);
    let routes: Vec<_> = configuration
        .api
        .routes
        .iter()
        .map(|route| {
            let function = &route.function;
            (
                route.key.to_string(),
                function.name.to_string(),
                function.qualifier.clone(),
                route.kind,
            )
        })
        .collect();
    let expected = |key: &str, name: &str, alias: Option<&str>, kind| {
        (
            key.to_owned(),
            name.to_owned(),
            alias.map(str::to_owned),
            kind,
        )
    };
    assert_eq!(
        routes,
        [
            expected(
                "GET /pets/{id}",
                "dev-thumbnail",
                Some("live"),
                ApiKind::Http
            ),
            expected("$default", "Image", None, ApiKind::Http),
            expected("POST /old", "Image", None, ApiKind::Rest),
            expected("ANY /one", "Image", None, ApiKind::HttpVersion1),
        ]
    );
    let cors = configuration.api.cors.unwrap();
    assert_eq!(cors.allow_origins, ["https://example.com"]);
}

/// What has no effect is said, once, with its place.
#[test]
fn nothing_is_dropped_in_silence() {
    let warnings = read_with(WHOLE, &[]).unwrap().warnings;
    for part in [
        "Resources.Thumbnail.Properties (line 28): without effect here: Policies, VpcConfig",
        "Variables.TABLE (line 34): Table (AWS::DynamoDB::Table) is not made here",
        "Events.Queue (line 47): events of SQS",
        "Resources: not made here: Table (AWS::DynamoDB::Table)",
        "Globals.Function.LoggingConfig.LogGroup (line 13)",
    ] {
        let found = warnings.iter().filter(|text| text.contains(part)).count();
        assert_eq!(found, 1, "{part}: {warnings:#?}");
    }
    assert_eq!(warnings.len(), 5, "{warnings:#?}");
}

#[test]
fn what_cannot_run_is_an_error_with_its_place() {
    let function = |properties: &str| {
        format!(
            "Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      {properties}"
        )
    };
    let plain = |properties: &str| {
        let text = function(properties);
        text.replace("AWS::Serverless::Function", "AWS::Lambda::Function")
    };
    for (text, part) in [
        (
            "Resources: {}".to_owned(),
            "no AWS::Serverless::Function and no AWS::Lambda::Function",
        ),
        (function("PackageType: Image"), "does not build images"),
        (function("Handler: a.b"), "there is no CodeUri"),
        (
            function("CodeUri: s3://bucket/key"),
            "CodeUri (line 5): there is no S3",
        ),
        (function("CodeUri: {Bucket: b, Key: k}"), "there is no S3"),
        (
            function("{InlineCode: x, Runtime: ruby3.4}"),
            "InlineCode (line 5): code in a template is for Node.js and Python only",
        ),
        (
            plain("Code: {S3Bucket: b, S3Key: k}"),
            "Code (line 5): there is no S3",
        ),
        (plain("Handler: a.b"), "there is no Code: name"),
        (
            plain("{PackageType: Image, Code: {ZipFile: x}}"),
            "there is no Code.ImageUri: Lambent does not build images",
        ),
        (
            plain("{Code: {ImageUri: x}}"),
            "Code (line 5): has an ImageUri, but PackageType is not Image",
        ),
        (
            plain("{Code: {ZipFile: x}, Runtime: java21}"),
            "Code.ZipFile (line 5): code in a template is for Node.js",
        ),
        (
            plain("{Code: a, Tags: {a: b}}"),
            "Tags (line 5): is not a list of Key and Value",
        ),
        (
            format!("{}\n  U: {{Type: AWS::Lambda::Url}}", plain("Code: a")),
            "Resources.U.Properties (line 6): there is no TargetFunctionArn",
        ),
        (
            format!(
                "{}\n  U: &u {{Type: AWS::Lambda::Url, Properties: {{TargetFunctionArn: F, AuthType: NONE}}}}\n  V: *u",
                plain("Code: a")
            ),
            "TargetFunctionArn (line 6): F has another URL already",
        ),
        (
            function("{CodeUri: a, MemorySize: much}"),
            "Resources.F.Properties.MemorySize (line 5): is not a whole number",
        ),
        (
            function("{CodeUri: a, FunctionName: a b}"),
            "Resources.F: function name",
        ),
        (
            function("{CodeUri: a, FunctionUrlConfig: {AuthType: NONE, Cors: {AllowOrigin: x}}}"),
            "FunctionUrlConfig.Cors (line 5): AllowOrigin is none of",
        ),
        (
            function("{CodeUri: a, Events: {E: {Type: Api, Properties: {Path: /a}}}}"),
            "Events.E (line 5): a route needs Path and Method",
        ),
        (
            function(
                "CodeUri: a\n      Events:\n        E:\n          Type: HttpApi\n          Properties:\n            \
                 Method: get\n            Path: /{a}/{a}",
            ),
            "Events.E.Properties.Path (line 11): path \"/{a}/{a}\" has the parameter a twice",
        ),
        (
            function("{CodeUri: a, Events: {E: {Type: Api, Properties: {Path: /a, Method: x}}}}"),
            "Events.E.Properties.Method (line 5): method \"x\" is none of",
        ),
        (
            function("{CodeUri: a, Events: {E: {Type: HttpApi}, G: {Type: HttpApi}}}"),
            "$default is the route $default of F already",
        ),
        (
            function(
                "{CodeUri: a, ProvisionedConcurrencyConfig: {ProvisionedConcurrentExecutions: 1}}",
            ),
            "ProvisionedConcurrencyConfig (line 5): is of an alias",
        ),
        (
            format!(
                "Globals: {{Function: {{Events: {{}}}}}}\n{}",
                function("CodeUri: a")
            ),
            "Globals.Function.Events (line 1): SAM takes",
        ),
        (
            format!(
                "Globals:\n  Function:\n    MemorySize: much\n{}",
                function("CodeUri: a")
            ),
            "Globals.Function.MemorySize (line 3): is not a whole number",
        ),
        (
            format!(
                "Globals:\n  Function:\n    Environment: {{Variables: {{A: [b]}}}}\n{}",
                function("{CodeUri: a, Environment: {Variables: {B: c}}}")
            ),
            "Globals.Function.Environment.Variables.A (line 3): is not a text",
        ),
    ] {
        let error = read_with(&text, &[]).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
    let error = read_with(WHOLE, &[("Stag", "x")]).unwrap_err();
    assert!(
        error.contains("no parameter \"Stag\"; there are: Stage, Memory"),
        "{error}"
    );
    let error = read_with(WHOLE, &[("Stage", "prod")]).unwrap_err();
    assert!(error.contains("Resources.OnlyThere"), "{error}");
}

/// Where `CreateFunction` finds what is wrong with a member: a function has it itself, or
/// all have it.
#[test]
fn members_know_their_places() {
    let text = "Globals:\n  Function:\n    MemorySize: 1\n    Timeout: 2\n    \
                Environment: {Variables: {A: b}}\nResources:\n  F:\n    \
                Type: AWS::Serverless::Function\n    Properties:\n      CodeUri: a\n      \
                Timeout: 3\n      Environment: {Variables: {C: d}}\n";
    let configuration = read_with(text, &[]).unwrap();
    let function = &configuration.functions[0];
    for (member, place) in [
        (Some("MemorySize"), "Globals.Function.MemorySize (line 3)"),
        (Some("Timeout"), "Resources.F.Properties.Timeout (line 11)"),
        (
            Some("Environment"),
            "Resources.F.Properties.Environment (line 12)",
        ),
        (Some("Nothing"), "Resources.F.Properties (line 10)"),
        (None, "Resources.F.Properties (line 10)"),
    ] {
        assert_eq!(function.place_of(member).to_string(), place, "{member:?}");
    }
}

/// Also where nothing is made of it.
#[test]
fn references_to_nothing_are_refused_with_their_line() {
    let template = |head: &str, policies: &str, end: &str| {
        format!(
            "{head}\nParameters: {{P: {{Type: String}}}}\nResources:\n  T: {{Type: 'AWS::DynamoDB::Table'}}\n  \
             Machine: {{Type: 'AWS::Serverless::StateMachine'}}\n  F:\n    \
             Type: AWS::Serverless::Function\n    Properties:\n      CodeUri: a\n      \
             AutoPublishAlias: live\n      Events: {{Queue: {{Type: SQS}}}}\n      \
             Policies: [{policies}]\n{end}"
        )
    };
    let sam = "Transform: AWS::Serverless-2016-10-31";
    for (policies, missing) in [
        ("!Ref Nobody", "Nobody"),
        ("!GetAtt Nobody.Arn", "Nobody"),
        ("{Fn::GetAtt: [Nobody, Arn]}", "Nobody"),
        // A parameter has no attributes.
        ("!GetAtt P.Arn", "P"),
        ("!Sub '${T}-${Nobody.Arn}'", "Nobody"),
        ("!Sub ['${T}-${Nobody}', {A: b}]", "Nobody"),
        ("!Sub ['${A}', {A: !Ref Nobody}]", "Nobody"),
        ("!If [C, !Ref T, !Ref Nobody]", "Nobody"),
        ("!Join ['', [!Ref Nobody]]", "Nobody"),
        ("{A: {B: !Ref TRole}}", "TRole"),
        ("!Ref FTable", "FTable"),
        ("!Ref Machinery", "Machinery"),
    ] {
        let error = read_with(&template(sam, policies, ""), &[]).unwrap_err();
        let place = "Resources.F.Properties.Policies";
        assert!(error.contains(place), "{policies}: {error}");
        assert!(
            error.contains("(line 12): there is n"),
            "{policies}: {error}"
        );
        let named = format!("resource \"{missing}\"");
        assert!(error.contains(&named), "{policies}: {error}");
    }
    let outputs = "Outputs:\n  Url: {Value: !GetAtt FUr.FunctionUrl}";
    let error = read_with(&template(sam, "", outputs), &[]).unwrap_err();
    let expected = "Outputs.Url.Value (line 14): there is no resource \"FUr\"";
    assert_eq!(error, expected);
    for policies in [
        "!Ref P",
        "!Ref T",
        "!Ref AWS::NotificationARNs",
        "!GetAtt T.Nothing.Arn",
        "!Sub '${T}${!Nobody}${AWS::Region}'",
        "!Sub ['${Nobody}', {Nobody: 1}]",
        "!Ref F.Version",
        "!Ref FAliaslive",
        "!Ref FVersion0123456789",
        "!GetAtt FEventInvokeConfigOnFailureQueue.Arn",
        "!GetAtt FRole.Arn",
        "!GetAtt FQueue.Id",
        "!GetAtt MachineRole.Arn",
        "!Ref ServerlessRestApiProdStage",
        "{Fn::Transform: {Name: AWS::Include, Parameters: {Location: !Ref Nobody}}}",
    ] {
        let read = read_with(&template(sam, policies, ""), &[]);
        assert!(read.is_ok(), "{policies}: {read:?}");
    }
    // Other macros make resources of their own.
    let head = "Transform: [AWS::LanguageExtensions, AWS::Serverless-2016-10-31]";
    let read = read_with(&template(head, "!Ref Nobody", ""), &[]);
    assert!(read.is_ok(), "{read:?}");
}

const OPENAPI: &str = r#"
Resources:
  F:
    Type: AWS::Serverless::Function
    Properties:
      PackageType: Image
      ImageUri: f.tar
      Events:
        Same: {Type: HttpApi, Properties: {Path: "/pets/{id}", Method: get, ApiId: !Ref Http}}
        Own: {Type: HttpApi, Properties: {Path: /own, Method: get}}
  G:
    Type: AWS::Serverless::Function
    Properties: {PackageType: Image, ImageUri: f.tar, AutoPublishAlias: live}
  Http:
    Type: AWS::Serverless::HttpApi
    Properties:
      DefinitionBody:
        openapi: "3.0.1"
        info: {title: pets}
        paths:
          /pets/{id}:
            parameters: [{name: id, in: path}]
            get:
              security: [{token: []}]
              x-amazon-apigateway-integration:
                type: AWS_PROXY
                httpMethod: POST
                payloadFormatVersion: "1.0"
                uri: !Sub "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${F.Arn}/invocations"
          /$default:
            x-amazon-apigateway-any-method:
              x-amazon-apigateway-integration: {type: aws_proxy, payloadFormatVersion: 2.0, uri: !GetAtt G.Arn}
          /mock:
            get: {x-amazon-apigateway-integration: {type: mock}}
            post: {responses: {}}
            put: {x-amazon-apigateway-integration: {type: aws_proxy, payloadFormatVersion: "2.0", uri: "arn:aws:lambda:us-east-1:123456789012:function:other"}}
  Rest:
    Type: AWS::Serverless::Api
    Properties:
      StageName: v
      DefinitionBody:
        swagger: "2.0"
        paths:
          /old:
            POST:
              x-amazon-apigateway-integration:
                type: aws_proxy
                uri: !Sub "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:123456789012:function:G:blue/invocations"
  Elsewhere:
    Type: AWS::Serverless::Api
    Properties: {StageName: v, DefinitionUri: api.yaml}
  Included:
    Type: AWS::Serverless::Api
    Properties: {StageName: v, DefinitionBody: {Fn::Transform: {Name: AWS::Include, Parameters: {Location: api.yaml}}}}
"#;

#[test]
fn definitions_of_apis_have_routes_too() {
    let configuration = read_with(OPENAPI, &[]).unwrap();
    let routes: Vec<String> = configuration
        .api
        .routes
        .iter()
        .map(|route| {
            let function = &route.function;
            let qualifier = function.qualifier.as_deref().unwrap_or("-");
            let kind = route.kind;
            format!("{} {} {qualifier} {kind:?}", route.key, function.name)
        })
        .collect();
    assert_eq!(
        routes,
        [
            // That of an event, as the definition has it.
            "GET /pets/{id} F - HttpVersion1",
            "GET /own F - Http",
            "$default G live Http",
            "POST /old G blue Rest",
        ]
    );
    for part in [
        "paths./pets/{id}.get (line 24): without effect here: security",
        "/mock.get (line 34): integrations of the type \"mock\" are not served here",
        "/mock.post (line 35): it has no x-amazon-apigateway-integration: no route",
        "/mock.put (line 36): no function of this template is \"arn:aws:lambda:us-east-1:",
        "Elsewhere.Properties.DefinitionUri (line 50): a definition that is not in the template",
        "Included.Properties.DefinitionBody (line 54): a definition that is not in the template",
    ] {
        let warnings = configuration.warnings.join("\n");
        assert!(warnings.contains(part), "{part}: {warnings}");
    }
    for (from, to, part) in [
        (
            "get: {x-amazon-apigateway-integration: {type: mock}}",
            "get: mock",
            "paths./mock.get (line 34): it is not a map",
        ),
        (
            "          /$default:",
            "          /odd: [get]\n          /$default:",
            "paths./odd (line 30): it is not a map",
        ),
        (
            "payloadFormatVersion: \"1.0\"",
            "timeoutInMillis: 1",
            "payloadFormatVersion is missing, and an HTTP API needs \"1.0\" or \"2.0\"",
        ),
        (
            "          /old:",
            "          /own:\n            get: {x-amazon-apigateway-integration: {type: aws_proxy, uri: !GetAtt G.Arn}}\n          /old:",
            "GET /own is the route GET /own of F already",
        ),
    ] {
        let error = read_with(&OPENAPI.replacen(from, to, 1), &[]).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

const PLAIN: &str = r#"
Globals:
  Function: {Timeout: 10}
Resources:
  Common:
    Type: AWS::Lambda::LayerVersion
    Properties: {LayerName: common, Content: layer}
  Inline:
    Type: AWS::Lambda::Function
    Properties:
      FunctionName: inline
      Role: !GetAtt Role.Arn
      Runtime: python3.12
      Handler: index.handler
      Code:
        ZipFile: |
          def handler(event, context):
              return event
      Layers: [!Ref Common]
      ReservedConcurrentExecutions: 3
      Environment: {Variables: {A: !Ref Image}}
      TracingConfig: {Mode: Active}
      Tags: [{Key: k, Value: v}]
  Image:
    Type: AWS::Lambda::Function
    Properties:
      PackageType: Image
      Code: {ImageUri: oci-archive:image.tar}
      ImageConfig: {Command: [app.other]}
      LoggingConfig: {LogFormat: JSON}
      EphemeralStorage: {Size: 1024}
      Events: {E: {Type: HttpApi}}
  Files:
    Type: AWS::Lambda::Function
    Properties: {Code: src, Runtime: nodejs22.x, Handler: index.handler}
  Url:
    Type: AWS::Lambda::Url
    Properties: {TargetFunctionArn: !GetAtt Inline.Arn, AuthType: NONE, Cors: {AllowOrigins: ["*"]}}
  Elsewhere:
    Type: AWS::Lambda::Url
    Properties: {TargetFunctionArn: other, AuthType: AWS_IAM}
  Role: {Type: AWS::IAM::Role}
"#;

#[test]
fn functions_without_sam_are_the_same() {
    let configuration = read_with(PLAIN, &[]).unwrap();
    let [inline, image, files] = configuration.functions.as_slice() else {
        panic!("{configuration:?}");
    };
    // `Globals` are SAM's.
    assert_eq!(
        inline.request,
        json!({
            "FunctionName": "inline", "PackageType": "Zip", "Role": ROLE, "Runtime": "python3.12",
            "Handler": "index.handler", "Environment": {"Variables": {"A": "Image"}},
            "Tags": {"k": "v"},
        })
    );
    assert_eq!(
        inline.code,
        CodeSource::Inline {
            file: "index.py".to_owned(),
            text: "def handler(event, context):\n    return event\n".to_owned(),
        }
    );
    let layer = LayerSource::Files {
        name: "common".to_owned(),
        content: "layer".to_owned(),
    };
    assert_eq!((&inline.layers, inline.reserved), (&vec![layer], Some(3)));
    assert_eq!(
        inline.url,
        Some(json!({"AuthType": "NONE", "Cors": {"AllowOrigins": ["*"]}}))
    );
    assert_eq!(
        image.code,
        CodeSource::Image("oci-archive:image.tar".to_owned())
    );
    assert_eq!(image.request["LoggingConfig"], json!({"LogFormat": "JSON"}));
    assert_eq!(image.request["EphemeralStorage"], json!({"Size": 1024}));
    assert_eq!(files.code, CodeSource::Files("src".to_owned()));
    assert_eq!(configuration.api.routes, []);
    let warnings = &configuration.warnings;
    for part in [
        "Resources.Inline.Properties (line 11): without effect here: TracingConfig",
        "Resources.Image.Properties.Events (line 32): CloudFormation has no such property",
        "Resources.Elsewhere.Properties.TargetFunctionArn (line 40): no function of this template \
         is other",
        "Resources.Elsewhere.Properties.AuthType (line 40): signatures are not checked",
        "Resources: not made here: Role (AWS::IAM::Role)",
    ] {
        let found = warnings.iter().filter(|text| text.contains(part)).count();
        assert_eq!(found, 1, "{part}: {warnings:#?}");
    }
    assert_eq!(warnings.len(), 5, "{warnings:#?}");
}
