# ruff: noqa: E501 (a table: the old texts stand as they are in the package)
"""Our own guards, taken out one at a time, and the test that sees it.

Each old text stands in its file exactly once, so a mutant cannot rot unseen. Where a
guard has two lines, `also` holds further replacements in the same file.
"""

from typing import NamedTuple


class Mutant(NamedTuple):
    """A guard that is missing, and the test (in whatever file) that must fail for it."""

    name: str
    file: str
    old: str
    new: str
    test: str
    also: tuple[tuple[str, str], ...] = ()


POWER = "test_power_loss_after_any_operation_leaves_what_save_promised"
DISK = "test_whatever_the_disk_answers_the_last_checkpoint_stands"
FLIPS = "test_one_flipped_bit_anywhere_is_never_used[200]"
HALF = "test_half_a_match_is_never_accepted"
BOMB = "test_an_archive_that_unpacks_to_more_than_it_is_is_not_unpacked"
RESUMED = "test_resumed_equals_uninterrupted_bit_for_bit[points, dropout-fp32]"
STOPPED = "test_a_value_that_is_no_number_stops_the_run_before_it_moves_a_weight"
SECOND = "test_a_second_interrupt_stops_at_once_and_half_a_step_is_never_saved"
BAD = "test_bad_answer_never_passes_and_is_named_in_time"
SETTING = "test_a_wrong_setting_is_named_with_its_value"

STORAGE = [
    ("fsync dropped", "            _fsync(file.fileno())\n", "", POWER),
    ("folder's fsync dropped", "            os.fsync(descriptor)\n        finally",
     "            pass\n        finally", POWER),
    ("written in place", "        _replace(temporary, path)\n    except",
     "        path.write_bytes(data)\n        temporary.unlink()\n    except", DISK),
    ("left-overs kept", "            temporary.unlink()\n        raise",
     "            pass\n        raise", DISK),
    ("every fsync error swallowed", "if error.errno not in _NO_SUCH_CALL:",
     "if False:", DISK),
    ("fsync demanded", "(errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)", "()",
     "test_a_file_system_that_can_not_flush_still_keeps_files_whole"),
    ("no second try", "for pause in (0.05, 0.2):", "for pause in ():",
     "test_a_virus_scanner_that_holds_the_file_a_moment_is_waited_for"),
    ("no lock", "fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)", "pass",
     "test_a_folder_that_another_process_trains_in_is_refused_until_it_dies"),
    ("locks demanded", "if error.errno not in (errno.EACCES, errno.EAGAIN):",
     "if False:", "test_a_file_system_without_locks_still_saves"),
    ("nothing swept", 'in folder.glob(".step*.tmp"):', "in []:",
     "test_what_a_killed_save_left_is_swept_at_the_next_start"),
    ("hash of the beginning only", "hashlib.sha256(data).hexdigest()[:16]",
     "hashlib.sha256(data[:64]).hexdigest()[:16]", FLIPS),
    ("a full disk not named", "(errno.ENOSPC, errno.EDQUOT, errno.EFBIG)", "()",
     "test_a_full_disk_is_said_costs_nothing_saved_and_training_goes_on"),
]  # fmt: skip

SAVING = [
    ("hash not compared", "if named is None or storage.digest(data) != named[2]:",
     "if named is None:", FLIPS),
    ("weights_only=False", "weights_only=True", "weights_only=False",
     "test_code_in_a_file_is_never_run"),
    ("not read back", "    if written != data:", "    if False:",
     "test_a_disk_that_gives_back_other_bytes_is_not_called_saved"),
    ("an earlier run overtaken", "        _refuse_a_newer_run(folder, state.step)\n", "",
     "test_an_earlier_run_in_the_folder_is_neither_mixed_nor_overtaken"),
    ("numbers not looked at before saving", "if bad := snapshot.not_finite(contents):",
     'if bad := "":', "test_a_poisoned_weight_is_noticed_at_the_next_step_and_spreads_no_further"),
    ("half a step saved", "if not state.whole or state.bad_step > 0:", "if False:", SECOND),
    ("one generation too many", "older[max(keep, 1) - 1 :]", "older[max(keep, 1) :]",
     "test_the_newest_three_are_kept"),
    ("the new file pruned", "if s == step and p != newest]", "if s == step]",
     "test_the_newest_three_are_kept"),
    ("newest by the clock", "key=lambda pair: (-pair[0], pair[1].name)",
     "key=lambda pair: -pair[1].stat().st_mtime",
     "test_order_is_by_step_and_never_by_the_clock"),
    ("seven digits only", r"\d{7,}", r"\d{7}",
     "test_a_run_past_ten_million_steps_is_found_again"),
    ("nothing matched", "        snapshot.match(contents, state, folder.name[-40:])\n", "",
     "test_other_settings_are_refused_by_name"),
    ("any step believed", 'if contents["step"] != int(_NAME.fullmatch(path.name)[1]):',
     "if False:", HALF),
    ("endless nesting not caught", "except RecursionError:", "except ZeroDivisionError:",
     "test_endless_nesting_inside_a_whole_checkpoint_is_refused"),
    ("torch's own errors shown", "except Exception:  # torch.load",
     "except ZeroDivisionError:  # torch.load",
     "test_an_archive_that_torch_stumbles_over_is_refused"),
    ("a damaged file ends it", "            continue\n", "            raise\n",
     "test_damaged_newer_files_never_cost_a_good_one"),
    ("a silent fresh start", "    if problem:\n        raise",
     "    if False:\n        raise",
     "test_when_every_file_is_damaged_nothing_starts_silently"),
    ("archives not looked at", 'data.startswith(b"PK") and storage.unpacks_to_its_size(data)',
     "True", BOMB),
    ("room not looked for", "    if free < needed:", "    if False:",
     "test_a_disk_without_room_for_the_run_is_said_before_the_first_step"),
]  # fmt: skip

SNAPSHOT = [
    ("any format", 'if contents["format"] != FORMAT:', "if False:",
     "test_another_format_asks_for_the_version_that_reads_it"),
    ("entries may lack", "    if lacking:", "    if False:",
     "test_each_entry_that_is_not_there_is_named"),
    ("terabytes from four bytes", "tensor.numel() * tensor.element_size() > size", "False",
     "test_tensors_that_no_run_writes_are_refused_without_a_crash"),
    ("any layout",
     "tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta", "False",
     "test_tensors_that_no_run_writes_are_refused_without_a_crash"),
    ("NaN weights loaded", "    if bad := not_finite(contents):", '    if bad := "":',
     "test_values_that_are_no_numbers_are_refused_and_named"),
    ("another game continued", "    if here != there:", "    if False:",
     "test_other_sizes_are_named_with_both_sides"),
    ("other settings continued", "    if changed:", "    if False:",
     "test_other_settings_are_refused_by_name"),
    ("other rules continued", "**rules(state.game)}", "}",
     "test_other_rules_are_refused_by_name"),
    ("half a match", "if not _fits(contents, state):", "if False:", HALF),
    ("another type fits", "a.shape == b.shape and a.dtype == b.dtype",
     "a.shape == b.shape", HALF),
    ("Adam of other weights", "all(_opt_fits(contents[n], opt",
     "any(True or _opt_fits(contents[n], opt", HALF),
    ("RNG skipped", '        state.rng.set_state(contents["rng"])\n', "", RESUMED),
    ("layers' RNG skipped", '        state.layer_rng = contents["layer_rng"]\n', "",
     RESUMED),
    ("average skipped", 'state.ema.load_state_dict(contents["ema"])', "pass", RESUMED),
    ("G's Adam skipped", '    state.g_opt.load_state_dict(contents["g_opt"])\n', "",
     RESUMED),
    ("D's Adam skipped", 'state.d_opt.load_state_dict(contents["d_opt"])', "pass",
     RESUMED),
    ("D skipped", '    state.discriminators.load_state_dict(contents["discriminators"])\n',
     "", RESUMED),
    ("other circumstances not said", "    if differs:", "    if False:",
     "test_another_number_of_threads_is_said_and_goes_on"),
]  # fmt: skip

LOOP = [
    ("finite check dropped", "        if not finite:\n", "        if False:\n",
     STOPPED + "[points-d_loss-nan-fp32]"),
    ("gradients not looked at", "finite = finite & norm.isfinite()", "pass",
     STOPPED + "[points-d_gradient-nan-fp32]"),
    ("poisoned buffers kept", "            _restore_buffers(state)\n            raise _not_"
     "finite(state, state.step + 1)",
     "            raise _not_finite(state, state.step + 1)",
     STOPPED + "[dcgan-input-nan-fp32]"),
    ("signals not held", "with _held_signals(), state.forked_rng(), ",
     "with state.forked_rng(), ",
     "test_an_interrupt_is_delivered_between_steps_and_the_state_is_whole"),
    ("second signal held too", "        if caught:\n", "        if False:\n", SECOND),
    ("handlers not put back", "            signal.signal(number, handler)",
     "            pass", "test_handlers_of_signals_are_put_back"),
    ("layers draw from anywhere", "        state.write_layer_rng()\n", "",
     "test_sampling_plotting_evaluating_and_saving_change_nothing[points, dropout]"),
    ("a step moves the global stream", "with _held_signals(), state.forked_rng(), ",
     "with _held_signals(), ",
     "test_training_leaves_the_global_random_stream_as_it_found_it"),
    ("a GPU waited for at every step", "*(self.ema.module.buffers() if",
     "*(self.ema.buffers() if", "test_a_step_waits_for_nothing[dcgan]"),
    ("deterministic for ever", "repeatable(state.repeatable):",
     "repeatable(state.repeatable) if not state.repeatable else "
     "torch.set_deterministic_debug_mode('error') or contextlib.nullcontext():",
     "test_a_deterministic_run_is_so_in_its_steps_alone[default]"),
    ("sampling draws from it too", "with torch.no_grad(), self.forked_rng():",
     "with torch.no_grad():", "test_sampling_from_a_generator_with_noise_of_its_own_disturbs_nobody"),
    ("no copy of the average", "return deepcopy(source).eval()", "return source.eval()",
     "test_sampling_plotting_evaluating_and_saving_change_nothing[points, dropout]"),
    ("a broken step not marked", "before, state.whole = state.whole, False",
     "before = state.whole", SECOND),
    ("signals in any thread",
     "if threading.current_thread() is threading.main_thread():", "if True:",
     "test_a_run_in_another_thread_needs_no_signals"),
    ("zero steps", '("steps", whole(self.steps, 1)', '("steps", whole(self.steps, 0)',
     SETTING),
    ("any rate", "return number(value) and 0 < value <= 1000", "return True", SETTING),
    ("other player not frozen", "    other.requires_grad_(False)", "    pass",
     "test_only_the_player_who_moves_takes_gradients"),
]  # fmt: skip

PICTURES = [
    ("allow-list removed", "Image.open(io.BytesIO(content), formats=FORMATS)",
     "Image.open(io.BytesIO(content))",
     "test_c17_formats_outside_the_list_are_refused"),
    ("bomb limit removed", "    if image.size[0] * image.size[1] > MOST_PIXELS:\n        raise",
     "    if False:\n        raise",
     "test_c6_c7_a_bomb_is_refused_before_it_is_unpacked"),
    ("decoders' errors shown", "except Exception as error:  # decoders",
     "except ZeroDivisionError as error:  # decoders",
     "test_c3_a_picture_cut_anywhere_is_refused"),
    ("orientation ignored", "turned = ImageOps.exif_transpose(image)",
     "turned = image.copy()", "test_c14_every_orientation_is_shown_upright"),
    ("alpha dropped", "return Image.alpha_composite(white, image).convert(\"RGB\")",
     'return image.convert("RGB")',
     "test_c9_transparent_parts_lie_on_white_not_on_hidden_colours"),
    ("16 bits clipped", 'if image.mode == "F" or image.mode.startswith("I"):',
     'if image.mode == "F":', "test_c10_a_ramp_of_16_bits_stays_a_ramp"),
    ("NaN greys", "if not (low >= 0 and high <= 65535):", "if low < 0 or high > 65535:",
     "test_c11_floats_that_are_no_greys_are_refused"),
    ("an empty file opened", "    if not content:", "    if False:",
     "test_c1_an_empty_file_is_called_empty"),
    ("addresses taken for files", 'if "://" in str(path):', "if False:",
     "test_c19_where_no_picture_is_names_what_was_tried"),
]  # fmt: skip

SETS = [
    ("digest of data not compared", "    if digest != known[name]:", "    if False:",
     "test_a_damaged_embedded_file_is_named_with_the_way_out"),
    ("NaN in the data", "if part.is_floating_point() and not part.isfinite().all():",
     "if False:", "test_a_sample_that_is_not_a_number_is_named_before_any_training"),
    ("order from the global stream",
     "torch.randperm(len(self.data[0]), generator=rng)",
     "torch.randperm(len(self.data[0]))",
     "test_a_batch_is_a_function_of_seed_and_number_alone"),
    ("every epoch alike", "_mix(self.seed, epoch)", "_mix(self.seed, 0)",
     "test_epochs_come_in_different_orders"),
    ("a batch larger than the data", " or (n is not None and size > n):", ":",
     "test_a_batch_larger_than_the_data_is_refused"),
    ("parts of unequal length", "    if len(set(lengths)) > 1:", "    if False:",
     "test_parts_of_unequal_length_are_refused"),
]  # fmt: skip

JUDGE = [
    ("no killpg", "            os.killpg(self.process.pid, signal.SIGKILL)",
     "            pass", "test_processes_of_an_answer_do_not_outlive_it",
     (("            os.killpg(answering, signal.SIGKILL)", "            pass"),)),
    ("silence is a pass", 'return verdict or Verdict("error", gone)',
     'return verdict or Verdict("passed", gone)', BAD + "[kills_its_parent]"),
    ("an exit is a pass", 'return Verdict("error", "It ended the program before',
     'return Verdict("passed", "It ended the program before', BAD + "[exits_hard]"),
    ("no time limit",
     "if not self.connection.poll(max(0, self.deadline - time.monotonic())):",
     "if not self.connection.poll(None):", BAD + "[never_ends]"),
]  # fmt: skip

ANSWERS = [
    ("files without limit", "        (resource.RLIMIT_FSIZE, FILES),\n", "",
     BAD + "[writes_a_huge_file]"),
    ("in the learner's folder", "    os.chdir(folder)\n", "",
     "test_answer_works_in_a_folder_of_its_own"),
]  # fmt: skip

OTHERS = [
    ("checks/wire.py", "subclasses taken for tensors",
     "if kind in (Tensor, torch.nn.Parameter):", "if isinstance(value, Tensor):",
     BAD + "[returns_a_tensor_of_its_own_kind]"),
    ("checks/compare.py", "inputs may be written over", "    if answer.changed:",
     "    if False:", BAD + "[writes_over_its_input]"),
    ("checks/client.py", "a dead judge stays dead", "for _ in range(2):",
     "for _ in range(1):", "test_judge_that_died_is_started_again",
     (("if self.process is not None and self.process.poll() is None:",
       "if self.process is not None:"),)),
    ("checks/solved.py", "a solution shown while nbgrader marks",
     'if os.environ.get("NBGRADER_EXECUTION") or not in_a_notebook():',
     "if not in_a_notebook():", "test_no_solution_is_shown_while_nbgrader_marks"),
    ("settings.py", "True is a number", "isinstance(value, int) and not isinstance(value, "
     "bool)", "isinstance(value, int)", SETTING),
    ("workcopy.py", "a learner's notebook overwritten",
     "if copy.is_file() and not _untouched(copy, handed_out.get(name), new):", "if False:",
     "test_what_the_learner_changed_is_never_overwritten"),
    ("stored.py", "uncommitted changes overwritten",
     'if done.returncode == 0 and done.stdout and not done.stdout.startswith("??"):',
     "if False:", "test_write_refuses_uncommitted_changes_and_keeps_them"),
    ("cmp_facades.py", "half a download kept", "archive.testzip() is None", "True",
     "test_what_is_not_whole_is_never_kept"),
    ("course.py", "not a number lies in its band",
     "return limits[0] <= value <= limits[1]",
     "return not (value < limits[0] or value > limits[1])",
     "test_what_is_not_a_number_lies_in_no_band"),
    ("order.py", "a bare NameError",
     "shell.set_custom_exc((*self.others[0], NameError), self.explain)", "pass",
     "test_a_name_that_is_not_there_yet_names_the_cell_that_makes_it"),
    ("order.py", "another cell's value passed over", "        if stale:\n",
     "        if False:\n",
     "test_a_name_left_by_another_cell_is_said_before_the_cell_runs"),
    ("order.py", "streams not put back", "                rng.set_state(entry[name])\n", "",
     "test_a_cell_that_is_run_twice_draws_the_same_numbers"),
    ("order.py", "streams not put at their end",
     "                rng.set_state(self.drew[self.now][1][name])\n",
     "                pass\n",
     "test_what_is_drawn_in_the_first_run_only_moves_no_later_number"),
    ("order.py", "training in place not seen", "        left = cell.leaves | trained\n",
     "        left, self.trained = cell.leaves, {}\n",
     "test_a_network_that_trains_on_each_time_is_said_the_second_time"),
    ("graphs.py", "a graph taken unseen", "<= TOLERANCE:", "<= float('inf'):",
     "test_a_replay_that_does_not_play_the_step_is_not_used[Stale]"),
    ("graphs.py", "a replay of the first batch",
     "        there.copy_(value, non_blocking=True)\n", "        pass\n",
     "test_a_replayed_run_is_the_run_itself[dcgan-fp32]"),
    ("graphs.py", "a replay at the first rates",
     "            self.fixed[name].fill_(value)\n",
     "            self.fixed[name].fill_(value if self.calls < 5 else self.fixed[name])\n",
     "test_a_replayed_run_is_the_run_itself[points, R1, decay-fp32]"),
    ("runs.py", "a metric may be missing",
     "if number == source.stem[:2] and name not in result.metrics", "if False",
     "test_a_notebook_that_reports_too_little_is_red"),
]  # fmt: skip

MUTANTS = [
    Mutant(name, file, *rest)
    for file, rows in [
        ("storage.py", STORAGE), ("checkpoints.py", SAVING), ("snapshot.py", SNAPSHOT),
        ("training.py", LOOP), ("images.py", PICTURES), ("data.py", SETS),
        ("checks/judge.py", JUDGE), ("checks/answers.py", ANSWERS),
    ]
    for name, *rest in rows
] + [Mutant(name, file, *rest) for file, name, *rest in OTHERS]  # fmt: skip
