"""Which test holds which line of the contract's checklist about scripts, and that it is played in every language.

Lines are numbered as in the contract: 15-28 the event, 29-54 what scripts change, 55-70 errors, 71-95 the platform,
96-113 names of events, 114-129 records, 130-150 script services, 151-163 jobs.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent
FIRST, LAST = 15, 163
WAITS: Final = {108: "file services", 126: "file services", 163: "answers that are redirects or streams"}
EVERY: Final = {"every_engine", "languages", "every_language"}
"""Marks that play a test in all languages."""
LINES: Final = """
test_event_object.py every
 15 tells_method_version_and_parameters  16 headers_have_lower_case_names  17 a_json_body_is_a_structure
 18 nothing_sent  19 cannot_be_decoded_has_no_payload  20 a_csv_body  21 names_its_path_service
 22 has_no_response  23 the_resource_is_what_the_name_leaves  24 a_script_service_sees
 25 a_body_that_is_no_text  26 with_brackets  27 a_tunnelled_verb  28 a_call_within_a_script
test_modification.py every
 29 a_changed_payload_is_what_is_stored  30 the_payload_is_stored_as_sent  31 a_changed_parameter
 32 changed_content_alone  33 payload_wins  34 the_method_cannot  35 replaces_the_service
 36 response_may_have_a_status  37 response_may_have_headers  38 response_without_content
 39 may_return_its_response  40 does_not_answer_in_pre_process  41 edits_are_kept
 42 a_pre_process_response_is_ignored  43 goes_out_only_with_the_permission  44 a_changed_status
 45 may_return_content_and_status  46 anything_else  47 a_returned_zero  48 join_those_there_are
 49 changed_after_the_call  50 without_a_stage_changes_nothing  51 the_specific_script_sees  52 a_throw_before
 53 a_throw_after  54 stopped_propagation
test_script_errors.py every
 55 a_thrown_text  56 a_thrown_object_says  62 a_thrown_status  63 a_syntax_error  64 a_returned_error
 69 a_status_that_http  70 throws_inside_a_call
test_script_errors.py some
 57 with_only_a_message  57 with_only_a_status  58 a_thrown_error  59 throws_late  60 what_php_throws
 61 what_php_throws  65 ends_its_process  66 an_unknown_language  67 all_scripting_off
 68 switched_off_one_by_one
test_platform_object.py every
 71 a_get_of_a_table  72 a_bare_object  73 what_is_not_there  74 scripts_from_clients  75 the_query_of_a_path
 76 headers_of_a_call  77 call_with_a_verb  80 carries_no_credentials  81 a_404_outside  82 nobody_answers
 83 is_a_stranger  84 the_session_names  85 private_lookups  86 under_both_names  87 the_store_keeps
 88 of_an_administrator  89 calls_itself_for_ever  90 unknown_names_stay  91 modifiers  91 with_one_name
 92 an_object_literal  93 is_a_line_of_the_log  94 can_be_switched_off_for_a_call  94 for_a_queued_call
 95 looks_like_a_result
test_platform_object.py some
 78 a_nodejs_callback  79 a_python_result
test_event_names.py some
 96 one_entry_for_all_tables  97 a_scriptable_listing  98 as_a_list  99 of_an_unknown_service
 100 of_services_is_sorted  101 only_services_of_the_role  102 after_a_refresh
test_event_names.py every
 103 a_documented_path  104 an_undocumented_path  105 a_system_record  106 a_login  107 fires_put
 109 at_the_gate  110 an_unknown_table  111 in_any_case  112 both_run  113 an_inactive_service
 162 a_batch_that_is_rolled_back
test_event_script_records.py some
 114 with_201_and_changes  115 without_a_name  116 a_list_creates  117 full_records
 118 a_name_that_is_not_there  119 with_braces  122 a_config_comes_back  123 keeps_its_name  124 only_by_force
 127 only_who_may_reach  128 are_listed  129 a_language_that_is_not_there
test_event_script_records.py every
 120 off_until_it_is_switched_on  121 a_deleted_script
test_script_library.py every
 125 a_linked_text_is_read
test_script_library.py some
 128 lists_the_languages_that_it_has
test_script_services.py every
 130 what_a_script_returns  130 what_a_script_sets  131 a_returned_response  132 every_verb
 133 every_call_of_a_queued  134 may_fill_a_response  136 answers_the_list  138 kept_answers
 138 tells_of_a_failure  139 answers_at_once  142 on_a_sync_connection  150 sees_the_202
test_script_services.py some
 135 makes_no_job  137 has_documented_paths  140 an_unknown_connection  143 on_a_null_connection
 144 the_older_names  145 a_delay_is_seconds  145 no_number  146 a_name_is_one_word  147 an_unknown_type
 148 come_from_its_document  149 switched_off
test_seed_on_redis.py some
 141 while_redis_is_away
test_job_contents.py some
 151 a_stored_job  153 a_role_that_loses  154 a_session_that_has_ended  155 runs_todays_text
 156 event_script_is_gone  157 service_is_gone  158 another_secret_key
test_job_contents.py every
 152 a_queued_event_is  159 queued_by_a_script  160 two_mebibytes  161 no_text_reaches_the_job
"""
"""A file, whether its tests are marked to be played in every language, then numbers and words of the tests' names."""
# Those of test_job_contents.py that are marked `some` run all languages at once, in one worker.


def blocks() -> list[tuple[str, bool, list[tuple[int, str]]]]:
    found: list[tuple[str, bool, list[tuple[int, str]]]] = []
    for line in LINES.strip().splitlines():
        words = line.split()
        if not line.startswith(" "):
            found.append((words[0], words[1] == "every", []))
        else:
            found[-1][2].extend(zip(map(int, words[::2]), words[1::2], strict=True))
    return found


def found_in(file: str) -> dict[str, set[str]]:
    """The tests of a file, with the names of their marks."""
    tree = ast.parse((HERE / file).read_text("utf-8"))
    return {
        node.name: {mark.id for mark in node.decorator_list if isinstance(mark, ast.Name)}
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


@pytest.mark.parametrize(("file", "every", "named"), [pytest.param(*block, id=block[0]) for block in blocks()])
def test_each_line_has_its_test_in_every_language_that_it_names(
    file: str, every: bool, named: list[tuple[int, str]]
) -> None:
    there = found_in(file)

    for number, words in named:
        matching = [marks for name, marks in there.items() if words in name]
        assert len(matching) == 1, f"{number}: {len(matching)} tests of {file} have {words!r} in their name"
        assert bool(matching[0] & EVERY) is every, f"{number}: {words}"


def test_no_line_is_forgotten() -> None:
    numbers = {number for _, _, named in blocks() for number, _ in named}

    assert numbers | set(WAITS) == set(range(FIRST, LAST + 1))
    assert not numbers & set(WAITS)
