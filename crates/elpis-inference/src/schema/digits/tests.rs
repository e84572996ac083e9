use super::*;

fn compiled(expression: &str) -> regex::Regex {
    let nothing = if expression.is_empty() {
        "[^\\s\\S]"
    } else {
        expression
    };
    regex::Regex::new(&format!("^(?:{nothing})$")).unwrap()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn sizes_are_told_apart_exactly() {
    let bounds = [
        "0",
        "1",
        "9",
        "10",
        "19",
        "99",
        "100",
        "9007199254740993",
        "18446744073709551615",
        "0.5",
        "0.05",
        "1.25",
        "9.99",
        "10.01",
        "1e20",
        "1.7976931348623157e308",
        "0.000001",
        "123.456",
        "2.0",
    ];
    let numbers = [
        "0",
        "1",
        "2",
        "8",
        "9",
        "10",
        "11",
        "18",
        "19",
        "20",
        "98",
        "99",
        "100",
        "101",
        "999",
        "9007199254740992",
        "9007199254740993",
        "9007199254740994",
        "18446744073709551615",
        "18446744073709551616",
        "0.0",
        "0.5",
        "0.50",
        "0.4999",
        "0.51",
        "0.05",
        "0.049",
        "1.2",
        "1.25",
        "1.250",
        "1.24999",
        "1.26",
        "9.98",
        "9.99",
        "9.990",
        "9.991",
        "10.0",
        "10.01",
        "10.009",
        "10.1",
        "100000000000000000000",
        "100000000000000000001",
        "0.0000010",
        "0.00000099",
        "123.456",
        "123.4561",
        "123.455",
        "1e20",
        "1.0e+20",
        "9.9e19",
        "1E21",
        "5e-1",
        "4.9e-1",
        "1e-6",
        "9e-7",
        "2e0",
        "2e00",
        "2e-0",
        "0e5",
        "0.0",
        "1.3e1",
    ];
    for bound in bounds {
        let decimal = Decimal::parse(bound).unwrap();
        for included in [true, false] {
            let low = compiled(&Form::Number.at_least(&decimal, included).unwrap());
            let high = compiled(&Form::Number.at_most(&decimal, included).unwrap());
            let plain = compiled(&Form::Plain.at_most(&decimal, included).unwrap());
            for number in numbers {
                let value = Decimal::parse(number).unwrap();
                let above = value > decimal || included && value == decimal;
                let below = value < decimal || included && value == decimal;
                assert_eq!(
                    low.is_match(number),
                    above,
                    "{number} from {bound} {included}"
                );
                assert_eq!(
                    high.is_match(number),
                    below,
                    "{number} to {bound} {included}"
                );
                let below = below && !number.contains(['e', 'E']);
                assert_eq!(
                    plain.is_match(number),
                    below,
                    "{number} to {bound} {included}"
                );
            }
        }
        if !decimal.is_integer() {
            continue;
        }
        let low = compiled(&Form::Integer.at_least(&decimal, true).unwrap());
        let high = compiled(&Form::Integer.at_most(&decimal, true).unwrap());
        for number in numbers {
            if number.bytes().all(|byte| byte.is_ascii_digit()) {
                let value = Decimal::parse(number).unwrap();
                assert_eq!(
                    low.is_match(number),
                    value >= decimal,
                    "{number} from {bound}"
                );
                assert_eq!(
                    high.is_match(number),
                    value <= decimal,
                    "{number} to {bound}"
                );
            }
        }
    }
    // No leading zeros.
    for expression in [
        Form::Number.at_most(&Decimal::integer(500), true),
        Form::Number.at_least(&Decimal::integer(5), true),
        Form::Integer.at_most(&Decimal::integer(500), true),
    ] {
        let expression = compiled(&expression.unwrap());
        assert!(!expression.is_match("007") && !expression.is_match("01.5"));
    }
}

#[test]
fn long_bounds_stay_short() {
    let bound = Decimal::parse("1.7976931348623157e308").unwrap();
    for form in [Form::Integer, Form::Number] {
        assert!(form.at_most(&bound, true).unwrap().len() < 4000);
        assert!(form.at_least(&bound, true).unwrap().len() < 40_000);
    }
    assert!(
        Form::Number
            .at_most(&Decimal::parse("1e1900").unwrap(), true)
            .is_none()
    );
}
