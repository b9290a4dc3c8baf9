"""Every setting of a job, in one module for each stage; the base and its rules are in `seis_tf.settings.base`."""
