"""Sources side by side, /compare?model=…&sources=2-res,3-res&threshold=0.5&pair=2-res,3-res&text=…, or two features.

One feature against another: /compare?ids=<model>/<source>/<index>,<model>/<source>/<index>&scale=maximum.
"""

import streamlit as st

from components import compare, compare_panels

view = compare.view()
if view is None:
    st.stop()

named = " · ".join(str(key) for key in view.ids) or " · ".join(key.source_id for key in view.sources)
st.set_page_config(page_title=f"Compare {named} · Featurescope" if named else "Compare · Featurescope")
st.html(compare_panels.head(view))
with st.container(key="fs-compare"):
    compare.draw(view)
