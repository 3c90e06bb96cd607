"""Preprocessing as a checkpoint's own file states it, old and new forms, and bad ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import InvalidArgument
from services.segment.export.preprocessing import ADE20K_PREPROCESSING, parse_preprocessing
from services.segment.manifest import ModelPreprocessing

PUBLISHED = {
    "do_normalize": True,
    "do_reduce_labels": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_processor_type": "SegformerFeatureExtractor",
    "image_std": [0.229, 0.224, 0.225],
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": 512, "width": 512},
}


def test_the_published_form() -> None:
    assert parse_preprocessing(PUBLISHED) == ADE20K_PREPROCESSING


def test_absent_keys_have_the_processors_defaults() -> None:
    assert parse_preprocessing({}) == ADE20K_PREPROCESSING


def test_size_may_be_a_number() -> None:
    found = parse_preprocessing(PUBLISHED | {"size": 640})
    assert (found.height, found.width) == (640, 640)


def test_size_may_be_uneven() -> None:
    found = parse_preprocessing(PUBLISHED | {"size": {"height": 512, "width": 1024}})
    assert (found.height, found.width) == (512, 1024)


def test_size_may_be_a_list_of_height_and_width() -> None:
    found = parse_preprocessing(PUBLISHED | {"size": [128, 256]})
    assert (found.height, found.width) == (128, 256)


def test_pictures_keep_their_size_where_the_file_says_so() -> None:
    found = parse_preprocessing(PUBLISHED | {"do_resize": False, "size": 640})
    assert (found.height, found.width, found.resizes) == (640, 640, False)
    assert parse_preprocessing(PUBLISHED | {"do_resize": False}, (64, 64)).resizes


def test_the_resampler_is_the_users_to_say() -> None:
    assert parse_preprocessing(PUBLISHED, None, "opencv").resampler == "opencv"
    with pytest.raises(InvalidArgument, match="bilinear models; this one is bicubic"):
        parse_preprocessing(PUBLISHED | {"resample": 3}, None, "torchvision")


@pytest.mark.parametrize("config", [{"do_resize": False}, {"size": {"shortest_edge": 512}}, {}])
def test_a_given_size_goes_before_the_files(config: dict[str, object]) -> None:
    found = parse_preprocessing(PUBLISHED | config, (640, 480))
    assert (found.height, found.width) == (640, 480)


@pytest.mark.parametrize(
    "extra",
    [
        {"image_processor_type": "SegformerImageProcessorFast", "processor_class": None},
        {"do_reduce_labels": True, "do_pad": False, "do_center_crop": None, "crop_size": None},
        {"do_flip_channel_order": False, "_valid_processor_keys": ["images"], "device": None},
    ],
)
def test_keys_that_change_no_pixel_are_passed_over(extra: dict[str, object]) -> None:
    assert parse_preprocessing(PUBLISHED | extra) == ADE20K_PREPROCESSING


def test_without_normalisation_values_are_only_scaled() -> None:
    found = parse_preprocessing(PUBLISHED | {"do_normalize": False})
    assert found.mean == (0, 0, 0)
    assert found.std == (1, 1, 1)


@pytest.mark.parametrize("extra", [{"do_rescale": False}, {"rescale_factor": 1.0}])
def test_another_scale_moves_into_mean_and_deviation(extra: dict[str, object]) -> None:
    found = parse_preprocessing(PUBLISHED | extra | {"image_mean": [123.0] * 3})
    pixel = 200.0  # as stored, in 0..255
    assert (pixel / 255 - found.mean[0]) / found.std[0] == pytest.approx((pixel - 123.0) / 0.229)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"do_normalize": 1}, "do_normalize must be true or false"),
        ({"size": {"shortest_edge": 512}}, "keeps a picture's proportions.*--size WxH"),
        ({"size": [512]}, r"size must be a number, \[height, width\] or"),
        ({"do_flip_channel_order": True}, "do_flip_channel_order is True, which a SegFormer's"),
        (
            {"image_processor_type": "MobileViTImageProcessor", "do_flip_channel_order": True},
            "do_flip_channel_order is True of 'MobileViTImageProcessor'.*--preprocessor FILE",
        ),
        ({"do_pad": True}, "do_pad is True"),
        ({"image_processor_type": "ViTImageProcessor"}, "is 'ViTImageProcessor'.*--preprocessor"),
        ({"image_processor_type": ["x"]}, "may do other things"),
        ({"size": 0}, "height: must be greater than or equal to 32, not 0"),
        ({"resample": 7}, "resample 7 is not one of"),
        ({"image_mean": [0.5]}, "image_mean must be three numbers"),
        ({"image_mean": [0.5, 0.5, float("nan")]}, r"mean\[2\]: must be a finite number"),
        ({"image_std": [0, 1, 1]}, r"std\[0\]: must be greater than 0"),
        ({"image_std": [1, 1, 10**400]}, "image_std is too large"),
        ({"rescale_factor": 0}, "rescale_factor must be a positive number"),
    ],
)
def test_what_cannot_be_honoured_is_named(extra: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        parse_preprocessing(PUBLISHED | extra)


_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["height", "width"]), inner)
    ),
    max_leaves=4,
)


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(sorted(PUBLISHED)), _VALUE))
def test_any_value_is_honoured_or_refused(changes: dict[str, object]) -> None:
    try:
        found = parse_preprocessing(PUBLISHED | changes)
    except InvalidArgument:
        return
    assert isinstance(found, ModelPreprocessing)
