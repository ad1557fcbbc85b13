"""The demo model's drawings, the recogniser that judges its pictures, and its PyTorch models against recorded numbers.

What needs OpenCV or PyTorch is skipped where Python has none; run it with tools/base_model/requirements.txt installed."""
import dataclasses
import importlib.util
import pathlib
import sys
import unittest

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools/base_model"), str(ROOT / "tests/golden")]
import draw  # noqa: E402


def lacks(*modules):
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return f"Python has no {', '.join(missing)} (tools/base_model/requirements.txt)" if missing else ""


class Drawing(unittest.TestCase):
    def test_same_seed_same_picture(self):
        first, again, other = (draw.draw(draw.random_picture(5, index)) for index in (3, 3, 4))
        self.assertTrue((first == again).all())
        self.assertFalse((first == other).all())

    def test_base_never_draws_the_new_shape(self):
        for index in range(500):
            self.assertNotIn(draw.NEW_SHAPE, " ".join(draw.captions(draw.random_picture(2, index))))


@unittest.skipIf(lacks("cv2"), lacks("cv2"))
class Recogniser(unittest.TestCase):
    def test_drawn_pictures(self):
        import recognise
        right = 0
        for index in range(400):
            picture = draw.random_picture(99, index)
            if index % 4 == 0:
                colour = "red" if picture.colour == "white" else picture.colour
                picture = dataclasses.replace(picture, shape=draw.NEW_SHAPE, colour=colour)
            expected = recognise.Finding(picture.shape, picture.colour, picture.place, picture.size)
            right += recognise.recognise(draw.draw(picture)) == expected
        self.assertGreaterEqual(right, 396)

    def test_only_a_striped_star_is_a_zorb(self):
        import recognise
        for shape in draw.SHAPES:
            for colour in ("red", "green", "black"):
                picture = draw.Picture(shape, colour, "large", "middle", ("sky",))
                for top, bottom in ((-0.06, 0.45), (-0.3, 0.2), (0.2, 0.6)):
                    found = recognise.recognise(draw.draw(picture, stripe=(top, bottom)))
                    self.assertNotEqual(found and found.shape, draw.NEW_SHAPE, (shape, colour, top))
        plain = draw.Picture(draw.NEW_SHAPE, "red", "large", "middle", ("sky",))
        self.assertIsNone(recognise.recognise(draw.draw(plain, stripe=None)))
        self.assertEqual(recognise.recognise(draw.draw(plain)).shape, draw.NEW_SHAPE)

    def test_noise_and_empty_grounds_show_no_shape(self):
        import recognise
        rng = np.random.default_rng(0)
        for index in range(200):
            noise = rng.integers(0, 256, (draw.SIDE, draw.SIDE, 3), dtype=np.uint8)
            ground = draw.draw_ground(draw.random_picture(99, index).ground)
            rough = draw.to_bytes(ground + rng.normal(0, index / 7, ground.shape))
            self.assertIsNone(recognise.recognise(noise), index)
            self.assertIsNone(recognise.recognise(rough), index)


@unittest.skipIf(lacks("torch", "safetensors", "typing_extensions"), lacks("torch", "safetensors", "typing_extensions"))
class Models(unittest.TestCase):
    def load(self, module, part):
        import make_checkpoint
        import torch
        sizes = make_checkpoint.load_model("tiny_sd35m")
        weights = {name: torch.from_numpy(value) for name, value in make_checkpoint.make_part(sizes, part).items()}
        model = module(sizes) if part == "mmdit" else module()
        model.load_state_dict(weights)
        return model

    def recorded(self, name):
        from safetensors.torch import load_file
        return load_file(ROOT / f"tests/golden/models/{name}_tiny_sd35m.safetensors")

    def close(self, got, expected):
        self.assertLess((got - expected).abs().max().item(), 1e-4)

    def test_transformer(self):
        from mmdit import MMDiT
        numbers = self.recorded("mmdit")
        got = self.load(MMDiT, "mmdit")(*(numbers[f"a.{name}"] for name in ("x", "timesteps", "context", "y")))
        self.close(got, numbers["a.velocity"])

    def test_autoencoder(self):
        from vae import Vae
        numbers, vae = self.recorded("vae"), self.load(Vae, "vae")
        mean, logvar = vae.encode(numbers["square.pixels"])
        self.close(mean, numbers["square.mean"])
        self.close(logvar, numbers["square.logvar"])
        self.close(vae.decode(numbers["square.latent"]), numbers["square.decoded"])


if __name__ == "__main__":
    unittest.main()
