import json

import pytest

from lakelink.errors import Refused
from lakelink.watch.queue_policy import statement, statement_id, with_statement, without_statement

ARN = "arn:aws-cn:sqs:cn-north-1:123456789012:q"
OURS = statement(ARN, "lake", "123456789012")
THEIRS = {"Sid": "theirs", "Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": ARN}


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Id": "mine", "Statement": list(statements)})


def sids(text):
    return [each["Sid"] for each in json.loads(text)["Statement"]]


def test_ours_is_added_to_theirs_and_taken_out_again():
    added = with_statement(policy(THEIRS), OURS)
    assert sids(added) == ["theirs", statement_id("lake")]
    assert json.loads(added)["Id"] == "mine"
    assert json.loads(without_statement(added, statement_id("lake"))) == json.loads(policy(THEIRS))


def test_the_partition_of_the_queue_is_that_of_the_bucket():
    assert OURS["Condition"]["ArnEquals"] == {"aws:SourceArn": "arn:aws-cn:s3:::lake"}


def test_what_is_right_already_is_the_same_text():
    there = policy(THEIRS, OURS)
    assert with_statement(there, OURS) is there
    other = policy(THEIRS)
    assert without_statement(other, statement_id("lake")) is other


def test_an_older_statement_of_ours_is_replaced():
    old = OURS | {"Condition": {}}
    assert json.loads(with_statement(policy(old, THEIRS), OURS))["Statement"] == [THEIRS, OURS]


def test_from_nothing_and_to_nothing():
    made = with_statement("", OURS)
    assert sids(made) == [statement_id("lake")]
    assert without_statement(made, statement_id("lake")) == ""


def test_a_single_statement_may_stand_without_a_list():
    single = json.dumps({"Version": "2012-10-17", "Statement": THEIRS})
    assert json.loads(with_statement(single, OURS))["Statement"] == [THEIRS, OURS]


@pytest.mark.parametrize("text", ["{", "7", "[]"])
def test_a_policy_that_cannot_be_read_is_not_replaced(text):
    with pytest.raises(Refused):
        with_statement(text, OURS)


def test_names_of_statements_are_letters_and_digits():
    assert statement_id("a.bucket-with_all").isalnum()
    assert statement_id("a") != statement_id("b")
