"""`python -m seis_tf`: the same as `seis-tf`."""

from seis_tf.cli import main

if __name__ == "__main__":
    main()
