// A program that plays a pipeline and exits in the middle of a batch without stopping it.
// Arguments: the pipeline, then how many milliseconds after the model was loaded. Exits with 7.

#include <gst/gst.h>
#include <stdlib.h>

static gboolean loaded(GstMessage *message) {
    GstProgressType type;
    gst_message_parse_progress(message, &type, NULL, NULL);
    return type == GST_PROGRESS_TYPE_COMPLETE;
}

int main(int argc, char **argv) {
    gst_init(&argc, &argv);
    if (argc != 3) return 2;
    GstElement *pipeline = gst_parse_launch(argv[1], NULL);
    if (!pipeline) return 3;
    GstBus *bus = gst_element_get_bus(pipeline);
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    for (gboolean ready = FALSE; !ready;) {
        GstMessage *message =
            gst_bus_timed_pop_filtered(bus, 60 * GST_SECOND, GST_MESSAGE_PROGRESS | GST_MESSAGE_ERROR);
        if (!message || GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) return 4;
        ready = loaded(message);
        gst_message_unref(message);
    }
    g_usleep(atoi(argv[2]) * 1000);
    exit(7);
}
