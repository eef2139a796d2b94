"""Parts B, C, E and G of the fault list, row by row: the tests (or answers) of each.

A name that no longer stands anywhere in tests/ turns this red, so the list cannot rot.
"""

import ast
from functools import lru_cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
ENGINE = "test_bad_answer_never_passes_and_is_named_in_time "  # tries each of BAD
ROWS = {
    "B1": "test_a_damaged_embedded_file_is_named_with_the_way_out",
    "B2": "test_nothing_is_loaded_that_could_run_code",
    "B3": "test_b3_the_core_runs_without_a_network_and_asks_for_none",
    "B4": "test_b4_a_silent_server_is_given_up_within_five_seconds "
    "test_b4_a_name_that_is_looked_up_for_ever_is_given_up_too "
    "test_b4_where_no_server_is_the_sentence_comes_at_once",
    "B5": "test_b5_b6_a_server_that_fails_leaves_no_file_and_one_sentence",
    "B6": "test_b6_no_cut_or_corrupted_transfer_leaves_a_bad_file "
    "test_b6_weights_are_kept_only_when_their_digest_is_right "
    "test_b6_two_cut_connections_are_followed_by_a_third_try "
    "test_b6_a_server_whose_certificate_is_worth_nothing_is_not_believed",
    "B7": "test_b7_killed_while_fetching_the_next_start_is_clean",
    "B8": "test_b8_an_archive_that_is_a_trap_is_refused_and_writes_nothing "
    "test_b8_an_archive_of_other_pictures_is_refused",
    "B9": "test_b9_a_cache_that_is_read_only_or_full_is_replaced_and_said_once "
    "test_b9_without_a_home_there_is_a_temporary_cache",
    "B10": "test_b10_a_file_that_is_not_this_vgg_is_named",
    "B11": "test_b11_two_processes_that_fetch_at_once_both_end_well",
    "B12": "test_b12_a_wrong_proxy_is_named_by_its_variable",
    "C1": "test_c1_an_empty_file_is_called_empty",
    "C2": "test_c2_what_is_no_picture_is_named test_c2_what_is_no_picture_is_named_by_"
    "its_kind",
    "C3": "test_c3_a_picture_cut_anywhere_is_refused "
    "test_c3_a_picture_cut_at_any_byte_is_refused",
    "C4": "test_c4_flipped_bytes_give_a_picture_or_a_sentence_within_two_seconds",
    "C5": "test_c5_too_small_a_picture_is_refused",
    "C6": "test_c6_c7_a_bomb_is_refused_before_it_is_unpacked",
    "C7": "test_c6_c7_a_bomb_is_refused_before_it_is_unpacked",
    "C8": "test_c8_a_phones_48_megapixels_are_read_smaller_in_little_memory",
    "C9": "test_c9_transparent_parts_lie_on_white_not_on_hidden_colours "
    "test_c9_grey_with_alpha_and_palettes_with_a_clear_colour_too",
    "C10": "test_c10_a_ramp_of_16_bits_stays_a_ramp "
    "test_c10_a_ramp_of_16_bits_stays_a_ramp_in_every_kind_of_png",
    "C11": "test_c11_a_tiff_of_floats_keeps_its_greys "
    "test_c11_floats_that_are_no_greys_are_refused",
    "C12": "test_c12_palette_one_bit_and_grey_give_the_colours_one_sees "
    "test_c12_few_bits_give_the_colours_one_sees",
    "C13": "test_c13_print_colours_come_out_as_plausible_ones",
    "C14": "test_c14_every_orientation_is_shown_upright",
    "C15": "test_c15_of_an_animation_the_first_frame_is_taken_and_said_once",
    "C16": "test_c16_a_wrong_ending_does_not_matter "
    "test_c16_content_counts_and_not_the_ending",
    "C17": "test_c17_formats_outside_the_list_are_refused "
    "test_c17_every_other_format_of_pillow_is_refused",
    "C18": "test_c18_a_folder_is_read_but_for_what_is_no_picture",
    "C19": "test_c19_where_no_picture_is_names_what_was_tried "
    "test_c19_what_is_no_path_to_a_picture_is_named",
    "C20": "test_c20_a_tensor_that_is_no_picture_is_named "
    "test_c20_a_tensor_that_is_no_picture_is_named_with_the_line_that_mends_it",
    "E1": ENGINE + "never_ends",
    "E2": ENGINE + "never_ends_nor_lets_itself_be_stopped",
    "E3": "test_untouched_stub_is_not_attempted",
    "E4": ENGINE + "returns_none",
    "E5": ENGINE + "returns_a_vector",
    "E6": "test_a_number_is_right_in_whatever_form "
    "test_e6_e11_a_result_of_another_kind_never_passes_and_is_named",
    "E7": "recognised",  # of "loses_gradient" in the chapters' tables
    "E8": ENGINE + "writes_over_its_input",
    "E9": ENGINE + "uses_an_unknown_name test_values_from_outside_a_wrong_answer_are_"
    "named",
    "E10": ENGINE + "knows_the_visible_example",
    "E11": ENGINE + "returns_what_equals_everything returns_a_tensor_of_its_own_kind",
    "E12": ENGINE
    + "patches_the_comparison test_state_of_the_kernel_changes_no_verdict "
    "test_e12_what_an_answer_patches_changes_no_verdict",
    "E13": ENGINE + "exits exits_hard crashes kills_its_parent",
    "E14": ENGINE + "prints_for_ever prints_a_million_lines",
    "E15": ENGINE + "takes_thirty_gigabytes writes_a_huge_file "
    "test_e15_of_a_tree_of_processes_none_is_left",
    "E16": ENGINE + "raises calls_itself imports_what_is_not_there "
    "test_e16_what_is_raised_is_named_with_its_line",
    "E17": "cases passes",  # three right answers of each exercise: checks/table.py
    "E18": "test_e18_a_slow_right_answer_passes_within_the_limit",
    "E19": "test_answer_works_in_a_folder_of_its_own test_e19_an_answer_has_no_network "
    "test_e19_an_answer_can_change_no_file_but_its_own",
    "G1": "test_g1_auto_takes_the_cpu_where_there_is_no_gpu",
    "G2": "test_the_doctor_names_a_patched_fault_and_the_next_step",
    "G3": "test_device_that_computes_something_else_is_a_fault "
    "test_g3_a_gpu_of_apples_is_taken_only_when_asked_for",
    "G4": "test_wrong_pair_of_torch_and_torchvision_gets_the_exact_remedy "
    "test_g4_g6_no_module_of_ours_needs_torchvision_or_a_data_loader "
    "test_g4_training_and_style_work_with_a_broken_torchvision",
    "G5": "test_numpy_of_another_generation_is_named "
    "test_the_doctor_names_a_patched_fault_and_the_next_step",
    "G6": "test_g6_g7_answers_are_checked_under_each_start_method_with_threads_running "
    "test_g6_the_judge_works_where_processes_are_not_forked",
    "G7": "test_g6_g7_answers_are_checked_under_each_start_method_with_threads_running",
    "G8": "test_absurd_settings_are_named test_g8_g9_training_works_under_odd_settings",
    "G9": "test_letters_that_a_terminal_lacks_stop_nothing "
    "test_g8_g9_training_works_under_odd_settings",
    "G10": "test_a_file_system_that_can_not_flush_still_keeps_files_whole "
    "test_g10_a_download_is_kept_where_nothing_can_be_flushed",
    "G11": "test_the_doctor_names_a_real_fault_within_five_seconds "
    "test_the_doctor_names_ten_faults_at_once_within_five_seconds",
}
# What of a row is not tested, and why.
LEFT = {
    "B5": "each file has one server, so there is no mirror to go on to",
    "B6": "a certificate that nobody vouches for stands for one that has expired",
    "B10": "the real VGG-19 (548 MB) is out of reach: a net of one layer stands for it",
    "E15": "a fork bomb without end: 32 processes are tried; none are counted",
    "E19": "where the system allows no namespaces (macOS, Windows, many containers)",
    "G2": "real broken GPUs: what torch says of them is said here by hand",
    "G3": "a real GPU of Apple's",
    "G6": "a script stands for the notebook's kernel",
    "G11": "a nightly torch: newer versions are only said to be untried",
}


@lru_cache(maxsize=1)
def functions() -> set[str]:
    """Names of all functions in tests/."""
    trees = (ast.parse(p.read_text(encoding="utf-8")) for p in TESTS.rglob("*.py"))
    nodes = (node for tree in trees for node in ast.walk(tree))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", ROWS)
def test_the_tests_of_a_row_stand(row):
    missing = set(ROWS[row].split()) - functions()
    assert not missing, f"{row}: {missing}"


def test_no_row_is_left_out():
    rows = {"B": 12, "C": 20, "E": 19, "G": 11}
    wanted = [f"{part}{k + 1}" for part, most in rows.items() for k in range(most)]
    assert list(ROWS) == wanted and set(LEFT) <= set(ROWS)
