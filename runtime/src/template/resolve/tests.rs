use proptest::prelude::*;
use serde_json::json;

use super::super::tree::parse;
use super::*;

const HEAD: &str = r#"
Parameters:
  Stage: {Type: String, Default: dev, AllowedValues: [dev, prod]}
  Memory: {Type: Number, Default: 512}
  Subnets: {Type: CommaDelimitedList, Default: "a, b"}
  Secret: {Type: String}
Mappings:
  ByStage: {dev: {Memory: 128}, prod: {Memory: 1769}}
Conditions:
  IsProd: !Equals [!Ref Stage, prod]
  IsSmall: !And [!Not [!Condition IsProd], !Equals [!Ref Memory, 512]]
  Round: !Condition Round
Resources:
  F: {Type: 'AWS::Serverless::Function', Properties: {FunctionName: !Sub "${Stage}-f"}}
  G: {Type: 'AWS::Serverless::Function'}
  L: {Type: 'AWS::Serverless::LayerVersion', Properties: {LayerName: pillow}}
  M: {Type: 'AWS::Serverless::LayerVersion', Properties: {LayerName: !Ref M}}
  T: {Type: 'AWS::DynamoDB::Table'}
  A: {Type: 'AWS::Serverless::Function', Properties: {FunctionName: !Ref B}}
  B: {Type: 'AWS::Serverless::Function', Properties: {FunctionName: !Ref A}}
"#;

fn resolved(given: &[(&str, &str)], text: &str) -> std::result::Result<Option<Value>, String> {
    let root = parse(&format!("{HEAD}X: {text}")).unwrap();
    let given = given
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let scope = Scope::new(&root, &given, "eu-west-1");
    let node = root.get("X").unwrap();
    scope
        .resolve(node, &Place::default().part("X"))
        .map_err(|error| error.to_string())
}

#[test]
fn functions_are_worked_out() {
    let arn = "arn:aws:lambda:eu-west-1:123456789012:function:dev-f";
    for (text, value) in [
        ("!Ref Stage", json!("dev")),
        ("!Ref Subnets", json!(["a", "b"])),
        ("!Ref F", json!("dev-f")),
        ("!Ref G", json!("G")),
        ("!Ref T", json!("T")),
        (
            "!Ref L",
            json!("arn:aws:lambda:eu-west-1:123456789012:layer:pillow:1"),
        ),
        ("!Ref AWS::Region", json!("eu-west-1")),
        ("!Ref AWS::AccountId", json!("123456789012")),
        ("!Ref AWS::Partition", json!("aws")),
        ("!Ref AWS::StackName", json!("local")),
        ("!GetAtt F.Arn", json!(arn)),
        ("{'Fn::GetAtt': [F, Arn]}", json!(arn)),
        ("!GetAtt T.StreamArn", json!("T.StreamArn")),
        (
            "!Sub 'https://${ServerlessHttpApi}/'",
            json!("https://ServerlessHttpApi/"),
        ),
        ("!GetAtt FUrl.FunctionUrl", json!("FUrl.FunctionUrl")),
        ("!Ref G.Alias", json!("G.Alias")),
        (
            "!Sub '${Stage}-${!Literal}-${F.Arn}'",
            json!(format!("dev-${{Literal}}-{arn}")),
        ),
        ("!Sub ['${a}/${Stage}', {a: !Ref Memory}]", json!("512/dev")),
        ("!Sub '$5 {} ${AWS::Region}'", json!("$5 {} eu-west-1")),
        ("!Join ['-', [a, !Ref Stage, 3]]", json!("a-dev-3")),
        ("!Join [',', !Ref Subnets]", json!("a,b")),
        ("!Select [1, !Split ['.', a.b]]", json!("b")),
        ("!FindInMap [ByStage, !Ref Stage, Memory]", json!(128)),
        ("!If [IsProd, 1, 2]", json!(2)),
        ("!If [IsSmall, small, large]", json!("small")),
        ("!Base64 abc", json!("YWJj")),
        (
            "{a: !Ref AWS::NoValue, b: [!Ref AWS::NoValue, 1]}",
            json!({"b": [1]}),
        ),
        (
            "[007, 7, -1, '7', 1.10, true, ~]",
            json!(["007", 7, -1, "7", "1.10", true, null]),
        ),
    ] {
        assert_eq!(resolved(&[], text), Ok(Some(value)), "{text}");
    }
    let prod = [("Stage", "prod"), ("Secret", "s")];
    assert_eq!(resolved(&prod, "!Ref Secret"), Ok(Some(json!("s"))));
    assert_eq!(resolved(&prod, "!If [IsProd, 1, 2]"), Ok(Some(json!(1))));
    assert_eq!(resolved(&prod, "!Ref F"), Ok(Some(json!("prod-f"))));
    assert_eq!(resolved(&[], "!Ref AWS::NoValue"), Ok(None));
}

#[test]
fn what_cannot_be_is_named() {
    for (given, text, part) in [
        (&[][..], "!Ref Secret", "--parameter Secret=VALUE"),
        (&[("Stage", "test")], "!Ref Stage", "none of dev, prod"),
        (
            &[],
            "!Ref Nobody",
            "neither a parameter nor a resource \"Nobody\"",
        ),
        (&[], "!GetAtt TRole.Arn", "no resource \"TRole\""),
        (&[], "!GetAtt Nobody.Arn", "no resource \"Nobody\""),
        (&[], "!GetAtt F", "RESOURCE.ATTRIBUTE"),
        (&[], "!Sub '${Stage'", "without its }"),
        (&[], "!Sub '${Subnets}'", "not a text"),
        (
            &[],
            "!ImportValue x",
            "Fn::ImportValue cannot be worked out",
        ),
        (&[], "!Join [a]", "takes a list of 2"),
        (&[], "!Select [5, [a]]", "no item 5"),
        (
            &[],
            "!FindInMap [ByStage, test, Memory]",
            "no ByStage.test.Memory",
        ),
        (&[], "!If [Nothing, 1, 2]", "no condition \"Nothing\""),
        (&[], "!If [Round, 1, 2]", "circle"),
        (&[], "!Ref A", "circle"),
        (&[], "!Ref M", "circle"),
        (&[], "{a: {b: !Ref Nobody}}", "X.a.b (line "),
    ] {
        let error = resolved(given, text).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn names_that_double_end_soon() {
    let name = |level: usize| {
        let Some(below) = level.checked_sub(1) else {
            return "  N0: {Type: 'AWS::Serverless::LayerVersion'}".to_owned();
        };
        format!(
            "  N{level}: {{Type: 'AWS::Serverless::LayerVersion', Properties: \
             {{LayerName: !Sub '${{N{below}}}${{N{below}}}'}}}}"
        )
    };
    let names: Vec<_> = (0..60).map(name).collect();
    let resolve = |last: usize| {
        let text = format!("Resources:\n{}\nX: !Ref N{last}", names.join("\n"));
        let root = parse(&text).unwrap();
        let given = BTreeMap::new();
        let scope = Scope::new(&root, &given, "eu-west-1");
        let resolved = scope.resolve(root.get("X").unwrap(), &Place::default());
        resolved.map_err(|error| error.to_string())
    };
    assert!(resolve(2).unwrap().is_some());
    let error = resolve(28).unwrap_err();
    assert!(error.contains("too many references"), "{error}");
}

proptest! {
    /// A text without references is what it was, and literals lose only their `!`.
    #[test]
    fn sub_keeps_what_is_no_reference(text in "[a-z $}.!-]{0,20}", name in "[a-zA-Z]{1,8}") {
        let quoted = |text: &str| format!("!Sub '{text}'");
        prop_assert_eq!(resolved(&[], &quoted(&text)), Ok(Some(json!(text))));
        let literal = format!("{text}${{!{name}}}{text}");
        let expected = literal.replacen("${!", "${", 1);
        prop_assert_eq!(resolved(&[], &quoted(&literal)), Ok(Some(json!(expected))));
    }
}
