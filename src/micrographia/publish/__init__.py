"""The publishing tower: pictures, the store and the site. It stands on arrays and files and never imports torch."""
